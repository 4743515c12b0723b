"""What all samplers that ask for whole solutions have in common in their tables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from k2core.plugin import DecoderName, PluginConfig

from .prompt import Example


class SamplingConfig(PluginConfig):
    """How one candidate is asked for."""

    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the model that solves."""
    system: str = ""
    """System prompt; a problem that brings its own system message keeps that."""
    instructions: bool | str = True
    """Whether to ask for the problem's answer format after the question; or your own words for it."""
    examples: tuple[Example, ...] = ()
    """Questions and replies shown before the problem, each with `problem` and `reply`."""
    plan_in: Literal["user", "system"] = "user"
    """Where the plan goes: before the question, or at the end of the system message, which small models digest better."""
    max_tokens: int = Field(default=1024, ge=1)
    """Most tokens of a candidate, reasoning included."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature; 0 is greedy, which makes all candidates alike."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus sampling: share of the probability that is kept."""
    stop: tuple[str, ...] = ()
    """Strings that end a candidate."""
