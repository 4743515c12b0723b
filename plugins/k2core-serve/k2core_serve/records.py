"""What is kept of a request, and what keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from k2core.events import Event
from k2core.types import Problem, Result, Usage


@dataclass
class RequestRecord:
    """One run that was served: of a request, one of its `n` choices."""

    id: str
    """Unique; also in the answer, so that a user can name it."""
    pipeline: str
    """Name of the model that was asked for."""
    version: str
    """Digest of the pipeline's configuration that served it."""
    key_id: str
    """Name of the key, never the key; empty where none is needed."""
    began: float
    """Seconds since the epoch."""
    problem: Problem
    effort: str = ""
    """The preset that was asked for."""
    events: list[Event] = field(default_factory=list)
    """Filled by recorders that collect; the server itself keeps none."""
    result: Result | None = None
    error: str = ""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    """By request role, also of requests that failed or whose client went."""
    seconds: float = 0.0


class Recorder(Protocol):
    """Keeps requests. All three are called in the loop's thread and must not block it."""

    def begin(self, record: RequestRecord) -> None: ...
    def event(self, id: str, event: Event) -> None:
        """An event of the run, in order; `RunEnded` is the last."""

    def end(self, record: RequestRecord) -> Future[bool] | None:
        """Result or error, usage and seconds are filled in. The future is done when the record is safe; an answer waits for it."""


class NoRecorder:
    """Keeps nothing."""

    def begin(self, record: RequestRecord) -> None:
        pass

    def event(self, id: str, event: Event) -> None:
        pass

    def end(self, record: RequestRecord) -> None:
        return None
