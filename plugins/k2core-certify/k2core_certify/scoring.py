"""The target model, in float32: what it makes of tokens that somebody else has sampled."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
TINY = 1e-6
"""Probability below which a token belongs to the tail."""
FLAT = 0.5
"""Exponent of the flattened distribution: temperature 2."""
_LOGITS = 64 * 2**20
"""Most elements of a block of logits: 256 MB in float32."""
_ROWS = 8
"""Positions whose distributions are worked on at once: few enough that they stay in a core's cache."""


@dataclass(frozen=True)
class Scores:
    """What the target says about each sampled token; all arrays have one element a position, natural logarithms throughout."""

    logp: Floats
    """Log-probability of the token."""
    entropy: Floats
    variance: Floats
    """Of the log-probability under the target's own distribution."""
    top: Floats
    """Probability of the likeliest token."""
    is_top: Floats
    """1 where the token is the likeliest."""
    gap: Floats
    """Log-probability of the likeliest token minus that of the token."""
    below: Floats
    """Probability of all likelier tokens together."""
    width: Floats
    """Probability of all tokens as likely as this one."""
    tail: Floats
    """Probability of all tokens with a probability below `TINY`."""
    flat: Floats
    """By how much the expected log-probability falls at temperature 2."""

    @classmethod
    def join(cls, parts: Sequence[Scores]) -> Scores:
        """One after the other."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts] or [np.empty(0)]) for name in names})


def score_rows(logits: Tensor, tokens: Tensor) -> Scores:
    """Scores of `tokens` [rows] under `logits` [rows, vocabulary], temperature 1."""
    parts = [_score(logits[start : start + _ROWS].float(), tokens[start : start + _ROWS]) for start in range(0, len(tokens), _ROWS)]
    return Scores.join(parts)


def _score(logits: Tensor, tokens: Tensor) -> Scores:
    import torch

    def total(values: Tensor) -> Tensor:
        return values.sum(-1, dtype=torch.float64)

    logs = torch.log_softmax(logits, -1)
    p = logs.exp()
    finite = logs.clamp(min=-1e4)
    chosen = logs.gather(1, tokens[:, None])
    mean, top = total(p * finite), logs.max(-1).values
    columns = {
        "logp": chosen[:, 0],
        "entropy": -mean,
        "variance": total(p * finite.square()) - mean.square(),
        "top": top.exp(),
        "is_top": chosen[:, 0] >= top,
        "gap": top - chosen[:, 0],
        "below": total(p * (logs > chosen)),
        "width": total(p * (logs == chosen)),
        "tail": total(p * (p < TINY)),
        "flat": mean - total(torch.softmax(FLAT * logits, -1) * finite),
    }
    return Scores(**{name: column.double().numpy() for name, column in columns.items()})


class Target:
    """A causal language model and its tokenizer. Blocking; use it from one thread at a time.

    `model` maps token ids [batch, length] to `.logits` [batch, kept, vocabulary] and takes `logits_to_keep`, as those of
    transformers do.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self._model, self.tokenizer, self.name = model, tokenizer, name
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], Scores] = {}
        self.vocabulary = int(model.config.get_text_config().vocab_size)

    @classmethod
    def load(cls, path: str, adapters: Sequence[tuple[str, float]] = ()) -> Target:
        """A folder or name of transformers', or a GGUF file, whose weights are brought back to float32; with LoRA adapters, given
        as path or name and scale, merged into them. Raises `ValueError` for an adapter that does not fit.
        """
        import torch
        from k2core_models.merging import merge
        from k2core_models.quiet import quiet
        from transformers import AutoModelForCausalLM, AutoTokenizer

        file = Path(path).expanduser()
        where: Mapping[str, Any] = {"gguf_file": file.name} if file.suffix == ".gguf" else {}
        folder = str(file.parent) if where else str(file) if file.exists() else path
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **where)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **where)
            for adapter, scale in adapters:
                model = merge(model, adapter, scale)
        model.requires_grad_(False).train(False)
        return cls(model, tokenizer, path)

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ids: set[int] = set()
        for owner in (self.tokenizer, self._model.generation_config):
            end = getattr(owner, "eos_token_id", None)
            ids |= set(end) if isinstance(end, list | tuple) else set() if end is None else {int(end)}
        return frozenset(ids)

    def prompt_ids(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """The tokens of a chat, given as roles and contents, up to where the answer begins."""
        chat = [{"role": role, "content": content} for role, content in turns]
        rendered = self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        return list(map(int, self.tokenizer.encode(rendered, add_special_tokens=False)))

    def first(self, prompt: Sequence[int]) -> Floats:
        """The distribution of the first token: [vocabulary]."""
        import torch

        with torch.inference_mode():
            logits = self._model(torch.tensor([list(prompt)]), logits_to_keep=1, use_cache=False).logits[0, -1]
            return np.asarray(torch.softmax(logits.double(), -1).numpy(), np.float64)

    def score(
        self, prompt: Sequence[int], completions: Sequence[Sequence[int]], stop: threading.Event | None = None
    ) -> list[Scores]:
        """Scores of completions of one prompt, in their order; empty ones too. Raises `InterruptedError` once `stop` is set.

        What was scored before is remembered: two decoders that draw with the same seeds often say the same.
        """
        begin, texts = tuple(prompt), [tuple(ids) for ids in completions]
        fresh = [ids for ids in dict.fromkeys(texts) if (begin, ids) not in self._known]
        self._known |= {(begin, ids): scores for ids, scores in zip(fresh, self._fresh(prompt, fresh, stop), strict=True)}
        return [self._known[begin, ids] for ids in texts]

    def _fresh(self, prompt: Sequence[int], completions: Sequence[Sequence[int]], stop: threading.Event | None) -> list[Scores]:
        order = sorted(range(len(completions)), key=lambda i: len(completions[i]))
        found: dict[int, Scores] = {}
        at = 0
        while at < len(order):
            if stop is not None and stop.is_set():
                raise InterruptedError("scoring was stopped")
            size = 1
            while at + size < len(order) and (size + 1) * len(completions[order[at + size]]) * self.vocabulary <= _LOGITS:
                size += 1
            batch = order[at : at + size]
            found |= zip(batch, self._batch(prompt, [completions[i] for i in batch]), strict=True)
            at += size
        return [found[i] for i in range(len(completions))]

    def _batch(self, prompt: Sequence[int], completions: Sequence[Sequence[int]]) -> list[Scores]:
        """One forward pass over rows padded at their ends, which a causal model does not see from before."""
        import torch

        longest = max(map(len, completions))
        rows = [[*prompt, *ids, *[0] * (longest - len(ids))] for ids in completions]
        with torch.inference_mode():
            if not longest:
                return [Scores.join([]) for _ in completions]
            # the last row of logits foretells what would come after the end
            logits = self._model(torch.tensor(rows)[:, :-1], logits_to_keep=longest, use_cache=False).logits
            return [score_rows(logits[i, : len(ids)], torch.tensor(list(ids))) for i, ids in enumerate(completions)]
