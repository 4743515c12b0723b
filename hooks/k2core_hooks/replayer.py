"""Replaying recorded runs, one or many side by side."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

from k2core import PipelineConfig, Registry, Runtime
from k2core.events import Event, RunEnded, RunStarted
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Call, Run

from .compare import same
from .offline import WITNESS, hurried, own_config, shared_config, timed_out
from .reader import RecordedRun
from .tape import Tape, Tapes, for_tapes

IDLE = 2.0
"""Seconds without any progress after which a replayed run is cancelled whose recording was cut off, too."""
RUNTIMES = 4
"""How many that nobody uses are kept for runs of the same configuration."""
SOURCE = "the recorded configuration"


@dataclass(eq=False)
class Shared:
    """A runtime for all runs of one configuration."""

    runtime: Runtime
    users: int = 0


class Replayer(AbstractAsyncContextManager["Replayer"]):
    """Replays runs, any number at a time.

    Runs of one configuration share a runtime, as making one takes longer than a replay. A plugin that learns from run to run may
    then go another way than when recorded; so a run that does not come out the same is replayed again on its own, in a fresh
    runtime and with the recorded clocks, and only that counts.
    """

    def __init__(self, overrides: Sequence[str] = (), limit: float | None = None, registry: Registry | None = None) -> None:
        self._overrides, self._limit, self._registry = overrides, limit, registry or Registry()
        self._tapes = Tapes()
        self._decoder = for_tapes(self._tapes)
        self._registry.add("hook", WITNESS, witness_of(self._tapes))
        self._shared: OrderedDict[str, Shared] = OrderedDict()
        self.again = 0
        """How many runs were replayed a second time, on their own."""

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for shared in self._shared.values():
            await shared.runtime.stop()

    async def __aenter__(self) -> Self:
        return self

    async def replay(self, run: RecordedRun) -> RunEnded:
        """As `alone`, on a shared runtime where that comes out the same."""
        async with self._borrowed(shared_config(run)) as runtime:
            ended = await self._played(runtime, run)
        if self._overrides or same(run.ended, ended):
            return ended
        self.again += 1
        return await self.alone(run)

    async def alone(self, run: RecordedRun) -> RunEnded:
        """Replay a run on a runtime of its own. Raises `ConfigError` when its pipeline cannot be put together."""
        async with self._made(own_config(run)) as runtime:
            return await self._played(runtime, run)

    @asynccontextmanager
    async def _borrowed(self, config: Mapping[str, Any]) -> AsyncIterator[Runtime]:
        key = json.dumps(config, sort_keys=True, default=str)
        shared = self._shared.get(key) or Shared(self._made(config))
        self._shared[key] = shared
        self._shared.move_to_end(key)
        shared.users += 1
        try:
            yield shared.runtime
        finally:
            shared.users -= 1
            await self._tidy()

    async def _tidy(self) -> None:
        """Stop the longest unused runtimes that are too many."""
        unused = [key for key, shared in self._shared.items() if not shared.users]
        for runtime in [self._shared.pop(key).runtime for key in unused[: max(0, len(unused) - RUNTIMES)]]:
            await runtime.stop()

    def _made(self, config: Mapping[str, Any]) -> Runtime:
        for table in config["decoders"].values():
            self._registry.add("decoder", table["use"], self._decoder)  # under the name that error messages hold
        return Runtime(PipelineConfig.from_dict(config, self._overrides, SOURCE), registry=self._registry)

    async def _played(self, runtime: Runtime, run: RecordedRun) -> RunEnded:
        tape = Tape(run, None if any(o.startswith("limits.") for o in self._overrides) else hurried(run))
        self._tapes.insert(tape)
        task = asyncio.ensure_future(runtime.solve(run.started.problem, seed=run.started.seed))
        idle = await until_done(task, tape, run, run.events[-1].at + 30 if self._limit is None else self._limit)
        if tape.ended is None:
            task.result()  # the error that kept the run from starting
            raise AssertionError("unreachable")
        if idle and run.ended and timed_out(run):  # there is no need to wait as long as when it was recorded
            return tape.ended.model_copy(update={"error": run.ended.error})
        return tape.ended


async def until_done(task: asyncio.Future[Any], tape: Tape, run: RecordedRun, limit: float) -> bool:
    """Wait for the run, but no longer than `limit`, nor for one that was cut off when recorded and now waits for it in vain.

    Returns whether that was why.
    """
    cut_off = run.ended is None or timed_out(run) or run.ended.error.startswith("CancelledError")
    deadline, idle = time.monotonic() + limit, False
    try:
        while not task.done() and time.monotonic() < deadline and not (idle := cut_off and tape.idle(IDLE)):
            await asyncio.wait([task], timeout=min(0.1, max(0.0, deadline - time.monotonic())))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return idle


class WitnessConfig(PluginConfig):
    """There is nothing to set."""


class Witness(Plugin):
    """Keeps how each run ended, also with an error, and who is at work. `tapes` is set by `witness_of`."""

    config: WitnessConfig
    tapes: ClassVar[Tapes]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.tapes.start(event.run_id)
        elif isinstance(event, RunEnded):
            self.tapes.eject(event.run_id).ended = event

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        return at_work(self.tapes.of(run.id)) if call.role in {"planner", "verifier"} else None


@asynccontextmanager
async def at_work(tape: Tape) -> AsyncIterator[None]:
    tape.judging += 1
    try:
        yield
    finally:
        tape.judging -= 1


def witness_of(tapes: Tapes) -> type[Witness]:
    return type("BoundWitness", (Witness,), {"tapes": tapes, "__module__": __name__})
