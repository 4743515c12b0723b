"""Serving one problem from whatever version its model has now."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from k2core.errors import explain
from k2core.events import Event, RunEnded
from k2core.log import get_logger
from k2core.types import Problem, Result, Usage

from ..admission.keys import Key
from ..openai.errors import ApiError, bad
from ..records import NoRecorder, Recorder, RequestRecord
from .live import Pipelines
from .runtime import ServedRuntime
from .version import STANDARD, Version

Observer = Callable[[Event], None]


class Listener(Protocol):
    """Is told how every run ended: for metrics and shadows."""

    def __call__(self, record: RequestRecord, version: Version, seed: int) -> None: ...


@dataclass
class Lease:
    """A version that a request has chosen: all its runs come from it."""

    name: str
    version: Version
    effort: str
    runtime: ServedRuntime


@dataclass
class _Ending:
    """Catches the last event, which has what was used also when there is no result."""

    usage: Mapping[str, Usage] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunEnded):
            self.usage = event.usage


class Serving:
    """Runs problems, keeps records, charges keys."""

    def __init__(self, pipelines: Pipelines, recorder: Recorder) -> None:
        self.pipelines, self.recorder = pipelines, recorder
        self.listeners: list[Listener] = []
        self.running = 0

    def choose(self, name: str, key: Key, effort: str = STANDARD) -> Lease:
        """The version for a request; enter `version.leased()` in the same turn of the loop. Raises `ApiError`."""
        if not key.may_ask(name):
            raise ApiError(403, f"this key may not use the model {name!r}", param="model", code="model_not_allowed")
        version = self.pipelines.version(name)
        runtime = version.runtime(effort)
        if runtime is None:
            known = ", ".join(version.efforts) or "none"
            raise bad(
                f"reasoning_effort: the model {name!r} has no preset {effort!r}; it has: {known}",
                "reasoning_effort",
                "unsupported_value",
            )
        return Lease(name, version, effort, runtime)

    async def serve(
        self,
        name: str,
        problem: Problem,
        *,
        key: Key,
        effort: str = STANDARD,
        seed: int | None = None,
        observer: Observer | None = None,
    ) -> Result:
        """Solve a problem with the version that `name` has now. Raises `ApiError`, and what `Runtime.solve` raises."""
        lease = self.choose(name, key, effort)
        with lease.version.leased():
            return await self.run(lease, problem, key=key, seed=seed, observer=observer)

    async def run(
        self, lease: Lease, problem: Problem, *, key: Key, seed: int | None = None, observer: Observer | None = None, id: str = ""
    ) -> Result:
        """One run from a lease, recorded and charged whatever becomes of it."""
        if seed is None:
            config = lease.runtime.config
            seed = secrets.randbits(31) if config.seed is None else config.seed
        record = RequestRecord(id or new_id(), lease.name, lease.version.digest, key.name, time.time(), problem, lease.effort)
        ending, began = _Ending(), time.monotonic()
        observers = [*self._recording(record.id), ending, *([observer] if observer else ())]
        self.running += 1
        self.recorder.begin(record)
        try:
            record.result = await lease.runtime.solve_watched(problem, seed=seed, observers=observers)
        except BaseException as error:
            record.error = explain(error)
            raise
        finally:
            self.running -= 1
            record.usage, record.seconds = ending.usage, time.monotonic() - began
            key.charge(sum(usage.tokens for usage in record.usage.values()))
            kept = self._ended(record, lease.version, seed)
        if kept:  # whoever has an answer finds its record, also after a crash
            await asyncio.shield(asyncio.wrap_future(kept))
        return record.result

    def _recording(self, id: str) -> list[Observer]:
        tell = self.recorder.event
        return [] if isinstance(self.recorder, NoRecorder) else [lambda event: tell(id, event)]

    def _ended(self, record: RequestRecord, version: Version, seed: int) -> Future[bool] | None:
        """Tell listeners and recorder; none of them may spoil an answer or another's news."""
        for heard in self.listeners:
            with _harmless(record):
                heard(record, version, seed)
        with _harmless(record):
            return self.recorder.end(record)
        return None


@contextmanager
def _harmless(record: RequestRecord) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        get_logger(request=record.id).error("could not book the end of a run", error=explain(error), exc_info=error)


def new_id() -> str:
    return secrets.token_hex(12)
