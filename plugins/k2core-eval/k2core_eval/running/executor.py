"""Where the pipeline's runs take place: in this process, or elsewhere. It is handed problems and seeds, never references."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, Self

from k2core.types import Problem, Result

from ..records import Spent


@dataclass(frozen=True)
class Solved:
    """How one run of the pipeline ended. Plain data, so that it can cross to another process."""

    result: Result | None
    """With an `error`, it is what the run came to without something that it should have had: it does not count."""
    spent: tuple[Spent, ...]
    """Every call of the run by role, decoder and model, with its seconds; also when there is no result."""
    trace: bytes
    """The run's events, a line each, from `run_started` to `run_ended`."""
    seconds: float
    first_token: float | None = None
    error: str = ""
    """Why there is no result that counts."""
    passing: bool = False
    """Whether the error may pass by itself: a server that does not answer, a worker that was lost."""


class Executor(AbstractAsyncContextManager["Executor"], Protocol):
    """Runs a pipeline on problems, as many at a time as it is asked."""

    async def __aenter__(self) -> Self: ...

    async def solve(self, problem: Problem, seed: int) -> Solved:
        """One run. Failures of the pipeline are in the answer; only a broken executor raises."""
