"""Options of speculation: the table `speculation` of the decoder's options."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator


class SpeculationConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    drafter: str = "none"
    """`none`, `prompt-lookup`, `sibling`, `draft-model`, or the entry-point name of one in `k2core.transformers.drafters.v1`."""
    most: int = Field(default=16, ge=1, le=256)
    """Tokens drafted at most for one sequence in one step; how many it is, is decided at each step by what pays."""
    shortest: int = Field(default=2, ge=1, le=64)
    """prompt-lookup, sibling: tokens at the end of the text that must have occurred before."""
    longest: int = Field(default=16, ge=1, le=64)
    """prompt-lookup, sibling: tokens beyond which a longer match counts no more."""
    memory: int = Field(default=200_000, ge=1)
    """sibling: tokens of one request, all choices together, that are indexed at most; later ones are still drafted for."""
    model: str = ""
    """draft-model: a smaller model with the same vocabulary: whatever the decoder's own `model` may be."""
    adaptive: bool = True
    """Choose lengths by what pays; otherwise always draft `most` tokens: for measuring drafters."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Options of a drafter of somebody else's, which it checks itself."""

    @model_validator(mode="after")
    def _consistent(self) -> SpeculationConfig:
        if self.shortest > self.longest:
            raise ValueError(f"shortest = {self.shortest} is greater than longest = {self.longest}")
        if self.drafter == "draft-model" and not self.model:
            raise ValueError("the drafter draft-model needs `model`, a smaller model with the same vocabulary")
        return self
