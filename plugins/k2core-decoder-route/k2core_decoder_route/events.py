"""What a route tells observers."""

from __future__ import annotations

from typing import Literal

from k2core.events import Event


class Routed(Event):
    """A decoder has been chosen for a request."""

    kind = "routed"
    plugin: str
    """Configuration path of the route."""
    decoder: str
    why: str
    """In a phrase."""


class BreakerMoved(Event):
    """A decoder was taken out of use, is tried again, or is back."""

    kind = "breaker_moved"
    plugin: str
    decoder: str
    state: Literal["closed", "open", "half-open"]
    error: str = ""
    """What it last failed of."""
    pause: float = 0.0
    """Seconds until it may be tried again."""
