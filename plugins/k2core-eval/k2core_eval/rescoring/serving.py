"""The decoder that serves stored completions, and the hook that tells each run's clock what goes on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from k2core_hooks.reader import RecordedCall
from k2core_hooks.tape import failure

from k2core.events import Event, RunEnded, RunStarted
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Call, Run
from k2core.types import Completion, DecodeRequest

from .bank import Bank
from .clock import Clock
from .stored import Slot

WITNESS = "rescoring"


@dataclass
class Playing:
    """One run that is served."""

    bank: Bank
    clock: Clock = field(default_factory=Clock)


class Stage:
    """The runs that go on, by their ids, and what had to be asked anew."""

    def __init__(self) -> None:
        self._playing: dict[str, Playing] = {}
        self._next: ContextVar[Playing] = ContextVar("playing")
        self.calls = self.tokens = 0
        """New calls, and the tokens of their completions."""

    def insert(self, playing: Playing) -> None:
        """The run that the current task starts next is served from it."""
        self._next.set(playing)

    def start(self, run_id: str) -> None:
        self._playing[run_id] = self._next.get()

    def of(self, run_id: str) -> Playing:
        return self._playing[run_id]

    def end(self, run_id: str) -> None:
        self._playing.pop(run_id, None)


class NoConfig(PluginConfig):
    """There is nothing to set."""


class StoredDecoder(Plugin):
    """Serves what is stored and nothing else. `stage` is set by `decoder_of`."""

    config: NoConfig
    stage: ClassVar[Stage]
    calls_tools: ClassVar[bool] = True

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        playing = self.stage.of(run.id)
        made = await served(playing, run, request)
        if made is None:
            raise playing.bank.lacks(request)
        return made


async def served(playing: Playing, run: Run, request: DecodeRequest) -> Sequence[Completion] | None:
    """The stored completions for a request; None for a call of another role than `solve` that was not recorded."""
    if request.role == "solve":
        return await _candidates(playing, run, playing.bank.candidates(request))
    call = playing.bank.call(request)
    if call is None:
        return None
    playing.clock.asking += 1
    try:
        return await _call(playing, run, call)
    finally:
        playing.clock.asking -= 1
        playing.clock.changed()


async def _candidates(playing: Playing, run: Run, slots: Sequence[Slot]) -> Sequence[Completion]:
    """One call for all of them: it pays its prompt once, as it would have, and each completion what it cost."""
    seconds = max(slot.seconds if slot.status == "served" else _seconds(slot.last) for slot in slots)
    failed = slots[0].status != "served"
    tokens = _tokens(slots[0].last) if failed else sum(slot.tokens for slot in slots)
    estimated = any(slot.last.ended.usage.estimated for slot in slots if slot.last.ended)
    await _pass(playing, run, Cost(slots[0].prompt_tokens, tokens, seconds, estimated))
    if failed:
        ended = slots[0].last.ended
        raise failure(ended.error if ended else "", again=bool(ended and ended.error.startswith("TransientError")))
    return [slot.completion for slot in slots]


async def _call(playing: Playing, run: Run, call: RecordedCall) -> Sequence[Completion]:
    assert call.ended is not None
    used = call.ended.usage
    await _pass(playing, run, Cost(used.prompt_tokens, used.completion_tokens, used.seconds, used.estimated))
    if call.ended.status != "served":
        raise failure(call.ended.error, again=False)
    return call.ended.completions


class Cost(NamedTuple):
    """What a call had cost when it was recorded."""

    prompt: int
    completion: int
    seconds: float
    estimated: bool


async def _pass(playing: Playing, run: Run, cost: Cost) -> None:
    """Let the recorded time of a call pass. One that is cancelled on the way has spent its share of the tokens."""
    began = playing.clock.now
    run.meter(prompt_tokens=cost.prompt, completion_tokens=0, estimated=cost.estimated)
    try:
        await playing.clock.wait(cost.seconds)
    except asyncio.CancelledError:
        share = min(1.0, (playing.clock.now - began) / cost.seconds) if cost.seconds else 0.0
        run.meter(completion_tokens=int(cost.completion * share), estimated=True)
        playing.clock.changed()
        raise
    run.meter(completion_tokens=cost.completion)


def _seconds(call: RecordedCall) -> float:
    return call.ended.usage.seconds if call.ended else 0.0


def _tokens(call: RecordedCall) -> int:
    return call.ended.usage.completion_tokens if call.ended else 0


def decoder_of(stage: Stage) -> type[Plugin]:
    """A decoder class that serves `stage`, under however many names a pipeline has for it."""
    return type("BoundStoredDecoder", (StoredDecoder,), {"stage": stage, "__module__": __name__})


def live_decoder(real: Any, stage: Stage) -> type[Plugin]:
    """The decoder class `real`, but that it serves what is stored, and is asked itself only for other calls than solutions."""
    taken = [name for name in ("run", "request") if name in inspect.signature(real.k2_decode).parameters]

    async def k2_decode(self: Any, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        made = await served(stage.of(run.id), run, request)
        if made is None:
            given = {"run": run, "request": request}
            made = await real.k2_decode(self, **{name: given[name] for name in taken})
            stage.calls += 1
            stage.tokens += sum(completion.tokens for completion in made)
        return list(made)

    return type("Live" + real.__name__, (real,), {"k2_decode": hookimpl(k2_decode), "__module__": real.__module__})


class Witness(Plugin):
    """Tells the clocks who is at work. `stage` is set by `witness_of`."""

    config: NoConfig
    stage: ClassVar[Stage]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.stage.start(event.run_id)
        elif isinstance(event, RunEnded):
            self.stage.end(event.run_id)

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        return _at_work(self.stage.of(run.id).clock) if call.role in {"planner", "verifier"} else None


@asynccontextmanager
async def _at_work(clock: Clock) -> AsyncIterator[None]:
    clock.judging += 1
    try:
        yield
    finally:
        clock.judging -= 1
        clock.changed()


def witness_of(stage: Stage) -> type[Plugin]:
    return type("BoundWitness", (Witness,), {"stage": stage, "__module__": __name__})
