"""Options of the route."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from k2core.plugin import DecoderName, PluginConfig


class RouteConfig(PluginConfig):
    """Which decoders there are, how one is chosen, and when one is left alone."""

    decoders: tuple[DecoderName, ...] = Field(min_length=1)
    """Other entries of `[decoders]`, the preferred first; required."""
    strategy: Literal["healthy", "cheapest", "fastest"] = "healthy"
    """`healthy` takes the first in order that is up, `cheapest` the lowest price by `[prices]`, `fastest` the shortest expected
    time by what has been measured. Ties go to the first."""
    hedge_after: float | None = Field(default=None, gt=0)
    """Seconds of silence after which a second decoder is asked as well; the first to speak goes on, the other is cancelled."""
    mixed: bool = False
    """Answers of one run may come from different models; without it, that is a warning."""
    failures: int = Field(default=3, ge=1)
    """So many failures in a row take a decoder out of use for a while."""
    failure_share: float = Field(default=0.5, gt=0, le=1)
    """So does this share of failures among the last `window` calls."""
    window: int = Field(default=20, ge=2)
    """How many calls that share is taken of."""
    pause: float = Field(default=1.0, gt=0)
    """Seconds until a decoder that was taken out of use is tried again, with one call; doubled each time that fails. A server
    that asks for a longer wait gets it, and one that asks for any wait is left alone at once."""
    pause_max: float = Field(default=60.0, gt=0)
    """Longest such pause, but for what a server asks for."""
    refusals: bool = False
    """Also fail over when a request is refused as wrong (`ValueError`: a bad request, a prompt too long for the context)."""
    memory: float = Field(default=300.0, gt=0)
    """`fastest`: seconds after which a measurement is forgotten and the decoder measured again, with one call."""

    @field_validator("decoders")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"each decoder may be named once, and {', '.join(map(repr, twice))} is named again")
        return value
