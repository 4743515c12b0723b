"""Requests on their way to an engine, as the event loop makes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core import Engine
    from .job import Job


class Outbox:
    """Requests that one turn of the event loop makes reach the engine together: for the loop's thread.

    What is computed with what, and by that every bit of it, then does not depend on how fast the engine's thread wakes up.
    """

    def __init__(self) -> None:
        self._jobs: list[tuple[Engine, Job]] = []

    def send(self, engine: Engine, job: Job) -> None:
        """On its way with the next turn; should the engine be closed by then, the job ends with a `RuntimeError`."""
        self._jobs.append((engine, job))
        if len(self._jobs) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        sent, self._jobs = self._jobs, []
        for engine in dict.fromkeys(engine for engine, _ in sent):
            jobs = [job for other, job in sent if other is engine]
            try:
                engine.inbox.put(*jobs)
            except RuntimeError as error:
                for job in jobs:
                    job.ended(error)
