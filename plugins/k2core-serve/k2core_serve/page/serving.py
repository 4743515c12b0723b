"""What the page needs of the server that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from k2core.events import Event
from k2core.types import Result


@dataclass(frozen=True)
class Caller:
    """Who sends a request."""

    key_id: str = ""
    """The operator's name for the key; empty where none are needed."""
    sees_all: bool = True
    """May look at what was asked with other keys, too, and take traces away, which hold the pipeline's configuration."""
    key: Any = None
    """Whatever the server knows the key by."""


@dataclass(frozen=True)
class Offer:
    """A pipeline that can be asked."""

    name: str
    efforts: Sequence[str] = ()
    """Names of its presets."""


@dataclass(frozen=True)
class Ask:
    """All that a reader of the page may set."""

    pipeline: str
    problem: str
    effort: str
    """A preset of the pipeline, or empty."""
    caller: Caller


class Serving(Protocol):
    """Answers. Every method raises `ApiError` for what is refused."""

    key_needed: bool

    def offers(self, caller: Caller) -> Sequence[Offer]: ...

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """By the headers of a request, their names in lower case."""
        ...

    async def serve(self, ask: Ask, observer: Callable[[Event], None], accepted: Callable[[str], None]) -> Result:
        """Admit, run, record. `accepted` is told the id of the record before the run starts, `observer` every event of it."""
        ...
