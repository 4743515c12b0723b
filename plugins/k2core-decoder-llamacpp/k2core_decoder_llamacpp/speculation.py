"""Speculation: what llama.cpp may guess several tokens of at once, to check them in one pass.

llama.cpp samples every position from the target model with the request's own generator and keeps a guess only where it equals
the sample, so the text for a seed is the same with and without. (Its probabilistic draft sampling, which works otherwise, and
its synthetic acceptance, which is not lossless at all, are never switched on here.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from k2core_models import gguf
from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import xllamacpp  # type: ignore[import-untyped] # it ships no types

Drafter = Literal["none", "ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "draft-model"]
UNUSED: dict[Drafter, set[str]] = {
    "none": {"match", "most", "model", "confidence"},
    "draft-model": {"match"},
}
"""Options that a drafter does not take."""
PADDING = 128
"""Entries by which llama.cpp lets two vocabularies differ in length."""


class Speculation(BaseModel):
    """Guessing ahead; off by default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    drafter: Drafter = "none"
    """Where guesses come from: `ngram-…` from the text so far, `draft-model` from a smaller model."""
    match: int = Field(default=3, ge=1, le=1024)
    """`ngram-…`: how many tokens must be the same for what followed them to be guessed."""
    most: int = Field(default=8, ge=1, le=64)
    """Tokens guessed at a time, at most."""
    model: str = ""
    """`draft-model`: a smaller model with the same vocabulary: whatever the decoder's own `model` may be."""
    confidence: float = Field(default=0.5, ge=0.0, le=1.0)
    """`draft-model`: it stops guessing at a token that it holds for less likely than this."""

    @model_validator(mode="after")
    def _fits_together(self) -> Speculation:
        defaults = type(self).model_fields
        changed = {name for name, option in defaults.items() if getattr(self, name) != option.default}
        unused = UNUSED.get(self.drafter, {"model", "confidence"}) & changed
        if unused:
            raise ValueError(f"drafter {self.drafter!r} takes no {', '.join(sorted(unused))}")
        if self.drafter == "draft-model" and not self.model:
            raise ValueError("drafter 'draft-model' needs `model`, the name or path of a smaller model")
        return self


def apply(wanted: Speculation, threads: int, params: xllamacpp.CommonParams) -> None:
    """Put it into llama.cpp's settings; `model` is a path."""
    import xllamacpp

    if wanted.drafter == "none":
        return
    target = params.speculative
    name = "DRAFT_SIMPLE" if wanted.drafter == "draft-model" else wanted.drafter.upper().replace("-", "_")
    target.types = [getattr(xllamacpp.common_speculative_type, f"COMMON_SPECULATIVE_TYPE_{name}")]
    if wanted.drafter == "draft-model":
        target.draft.mparams.path = wanted.model
        target.draft.n_max, target.draft.p_min = wanted.most, wanted.confidence
        target.draft.cpuparams.n_threads = target.draft.cpuparams_batch.n_threads = threads
    elif wanted.drafter == "ngram-mod":
        target.ngram_mod.n_match, target.ngram_mod.n_min, target.ngram_mod.n_max = wanted.match, 1, wanted.most
    else:
        settings = getattr(target, wanted.drafter.replace("-", "_"))
        settings.size_n, settings.size_m = wanted.match, wanted.most


def check_draft(path: Path, header: gguf.Gguf, draft: Path) -> None:
    """Raise `ValueError` when `draft` cannot guess for the model at `path`: then llama.cpp would silently do without."""
    other = gguf.read(draft)
    kinds = [str(h.meta.get("tokenizer.ggml.model", "none")) for h in (header, other)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"the draft model {draft} has a tokenizer of the kind {kinds[1]!r}, the model {path} one of {kinds[0]!r}")
    mine, its = gguf.tokens(path, header), gguf.tokens(draft, other)
    differ = next((i for i, (a, b) in enumerate(zip(mine, its, strict=False)) if a != b), None)
    if differ is not None:
        raise ValueError(
            f"the draft model {draft} has another vocabulary than the model {path}: token {differ} is "
            f"{its[differ]!r}, not {mine[differ]!r}"
        )
    if abs(len(mine) - len(its)) > PADDING:
        raise ValueError(f"the draft model {draft} has a vocabulary of {len(its):,} tokens, the model {path} one of {len(mine):,}")
