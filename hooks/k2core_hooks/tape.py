"""The decoder of a replay: serves the calls of a trace in place of a model."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import ClassVar

from k2core.errors import PluginError, TransientError
from k2core.events import CallEnded, CallStarted, RunEnded
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import UNSET, Call, Run
from k2core.types import Completion, DecodeRequest

from .reader import RecordedCall, RecordedRun

PATIENCE = 0.25
"""Seconds that a call waits for one that ended before it when recorded, as long as nothing else ends and nobody computes."""
TICK = 0.025
"""It is counted in such portions, so that a busy event loop does not use it up."""


@dataclass(eq=False)
class Entry:
    """A recorded call and what has been made of it."""

    call: RecordedCall
    rank: float
    """Its place in the order in which the calls ended."""
    choices: list[Completion] = field(default_factory=list)
    """Those not yet served."""
    taken: bool = False
    done: bool = False
    began: float = 0.0
    """Its place in the order of starts and ends."""
    routed: bool = False
    """A call of a decoder that asks others; whether there is another try is up to that one, not to the kernel."""

    @property
    def request(self) -> DecodeRequest:
        return self.call.started.request

    @property
    def status(self) -> str:
        return self.call.ended.status if self.call.ended else "cancelled"


class Tape:
    """All calls of a trace; each is given out once. What is known of the run that plays it is kept here, too."""

    def __init__(self, run: RecordedRun, soft_deadline: float | None = None) -> None:
        ends = {event.call_id: float(place) for place, event in enumerate(run.events) if isinstance(event, CallEnded)}
        starts = {event.call_id: float(place) for place, event in enumerate(run.events) if isinstance(event, CallStarted)}
        self.entries = [
            Entry(call, ends.get(call.started.call_id, math.inf), list(call.ended.completions) if call.ended else [])
            for call in run.calls
        ]
        for entry in self.entries:
            entry.began = starts[entry.call.started.call_id]
        self._routes = routes_of(run)
        self.soft_deadline = soft_deadline
        self.ended: RunEnded | None = None
        """How the replay ended, once it has."""
        self.waiting = self.asking = self.judging = 0
        """Calls that wait for their cancellation; calls of other roles than `solve`; planners and verifiers at work."""
        self.active = time.monotonic()
        self._changed = asyncio.Condition()

    @property
    def computing(self) -> bool:
        """Whether a planner or verifier is at work by itself, not waiting for a model."""
        return self.judging > 0 and not self.asking

    def idle(self, seconds: float) -> bool:
        """Whether nothing has happened for so long, and calls wait for their cancellation."""
        return self.waiting > 0 and not self.computing and time.monotonic() - self.active > seconds

    def late(self, entry: Entry) -> bool:
        """Whether the call ended after the soft deadline when recorded."""
        ended = entry.call.ended
        return self.soft_deadline is not None and ended is not None and ended.at >= self.soft_deadline

    def take(self, request: DecodeRequest) -> Entry:
        """The first call not yet given out with this very request; else one made of completions of the same prompt.

        Raises `LookupError` when the trace has too few.
        """
        self.active = time.monotonic()
        for entry in self.entries:
            if not entry.taken and entry.request == request:
                entry.taken = True
                return entry
        return self._assembled(request)

    def _assembled(self, request: DecodeRequest) -> Entry:
        """Another sampler, or one with other settings, may still ask for what the trace has answers to."""
        wanted = (request.decoder, request.role, request.messages)
        alike = [e for e in self.entries if not e.taken and (e.request.decoder, e.request.role, e.request.messages) == wanted]
        sources = [entry for entry in alike for _ in entry.choices]
        if len(sources) < request.n:
            raise LookupError(
                f"the trace holds {len(sources)} more completions of this {request.role} prompt for decoder "
                f"{request.decoder!r}, and {request.n} are asked for"
            )
        choices = [entry.choices.pop(0) for entry in sources[: request.n]]
        first = sources[0].call
        assert first.ended is not None
        usage = first.ended.usage.model_copy(update={"completion_tokens": sum(c.tokens for c in choices)})
        ended = first.ended.model_copy(update={"completions": tuple(choices), "usage": usage})
        return Entry(RecordedCall(first.started, ended), -1.0, choices, taken=True)

    def has(self, request: DecodeRequest) -> bool:
        """Whether there is a call left with this very request."""
        return any(not entry.taken and entry.request == request for entry in self.entries)

    def routed(self, request: DecodeRequest) -> list[Entry]:
        """The calls to others by which a decoder that asks others answered `request` when recorded, the next time it was asked."""
        group: list[Entry] = []
        end = math.inf
        for entry in self._about(request):
            if entry.request == request:  # nobody had answered, and it said so
                break
            if entry.began < end:
                entry.routed = True
                group.append(entry)
                end = entry.rank if entry.status == "served" else end
        return group

    def _about(self, request: DecodeRequest) -> list[Entry]:
        """Calls left with this request, to its decoder or to those that it asks."""
        names = {request.decoder, *self._routes.get(request.decoder, ())}
        left = [entry for entry in self.entries if not entry.taken and not entry.routed and entry.request.decoder in names]
        return [entry for entry in left if entry.request.model_copy(update={"decoder": request.decoder}) == request]

    def repeats(self, entry: Entry) -> bool:
        """Whether the trace goes on with another attempt at the same request."""
        return not entry.routed and bool(self._about(entry.request))

    async def turn(self, entry: Entry) -> None:
        """Wait for the calls that ended earlier when recorded, so that samplers which heed the order see the same one."""
        if entry.status == "cancelled":
            return
        waited = 0.0
        async with self._changed:
            while waited < PATIENCE and any(not e.done and e.status != "cancelled" and e.rank < entry.rank for e in self.entries):
                try:
                    async with asyncio.timeout(TICK):  # wait_for of Python 3.11 can swallow a cancellation
                        await self._changed.wait()
                    waited = 0.0
                except TimeoutError:
                    waited += 0.0 if self.computing else TICK

    async def finish(self, entry: Entry) -> None:
        entry.done = True
        self.active = time.monotonic()
        async with self._changed:
            self._changed.notify_all()

    async def until_cancelled(self) -> None:
        """What a call does that was cancelled when recorded."""
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1


class Tapes:
    """The tapes of runs that go on side by side, by the ids of the replaying runs."""

    def __init__(self) -> None:
        self._playing: dict[str, Tape] = {}
        self._next: ContextVar[Tape] = ContextVar("tape")

    def insert(self, tape: Tape) -> None:
        """The run that the current task starts next plays it."""
        self._next.set(tape)

    def start(self, run_id: str) -> None:
        self._playing[run_id] = self._next.get()

    def of(self, run_id: str) -> Tape:
        return self._playing[run_id]

    def eject(self, run_id: str) -> Tape:
        return self._playing.pop(run_id)


class TapeConfig(PluginConfig):
    """There is nothing to set."""


class TapeDecoder(Plugin):
    """Serves, fails and stalls as the trace says. `tapes` is set by `for_tapes`."""

    config: TapeConfig
    tapes: ClassVar[Tapes]
    calls_tools: ClassVar[bool] = True

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        """A decoder that asked others answers as it did when recorded: with the same calls to the same others."""
        if call.role != "decoder" or call.plugin != self.path or call.result is not UNSET:
            return None
        tape = self.tapes.of(run.id)
        group = tape.routed(call.args["request"])
        return routed(run, call, tape, group) if group else None

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        tape, asks = self.tapes.of(run.id), request.role != "solve"
        tape.asking += asks
        try:
            return await self._played(run, tape, tape.take(request))
        finally:
            tape.asking -= asks

    async def _played(self, run: Run, tape: Tape, entry: Entry) -> Sequence[Completion]:
        await tape.turn(entry)
        if tape.late(entry):
            await run.wait_hurry()
        ended = entry.call.ended
        if ended:
            used = ended.usage
            run.meter(
                prompt_tokens=used.prompt_tokens,
                completion_tokens=used.completion_tokens,
                drafted=used.drafted,
                accepted=used.accepted,
            )
        if ended is None or ended.status != "served":
            await self._unfinished(run, tape, entry)
            raise AssertionError("unreachable")
        for index, completion in enumerate(ended.completions):
            if completion.reasoning:
                run.delta(completion.reasoning, index, reasoning=True, tokens=0)
            run.delta(completion.text, index, tokens=completion.tokens)
        await tape.finish(entry)
        return ended.completions

    async def _unfinished(self, run: Run, tape: Tape, entry: Entry) -> None:
        for delta in entry.call.partial:
            run.delta(delta.text, delta.index, reasoning=delta.reasoning, tokens=delta.tokens)
        if entry.status == "cancelled":
            await tape.until_cancelled()
        await tape.finish(entry)
        raise failure(entry.call.ended.error if entry.call.ended else "", again=tape.repeats(entry))


@asynccontextmanager
async def routed(run: Run, call: Call, tape: Tape, group: Sequence[Entry]) -> AsyncIterator[None]:
    """Make the calls of the group, and answer with the one that was served; cancel those that were cancelled after it."""
    calls = [asyncio.ensure_future(run.decode(entry.request)) for entry in group]
    ending = [made for made, entry in zip(calls, group, strict=True) if entry.status != "cancelled"]
    try:
        await asyncio.wait(ending or calls)
    finally:
        for made in calls:
            made.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    served = [made for made in ending if not made.cancelled() and made.exception() is None]
    if served:
        call.result = served[0].result()
    elif not tape.has(call.args["request"]):
        ending[-1].result()  # raises what had been passed on
    yield


def routes_of(run: RecordedRun) -> dict[str, Collection[str]]:
    """The decoders of a recorded pipeline that ask others, as `route` does: their option `decoders` names those."""
    tables = run.started.config.get("decoders", {})
    found = {name: table.get("decoders") for name, table in tables.items()}
    return {name: list(others) for name, others in found.items() if isinstance(others, list | tuple) and set(others) <= set(tables)}


def failure(text: str, *, again: bool) -> Exception:
    """The error of a failed call that was recorded as `text`, such that the kernel tries again if it did so then, and words it
    alike."""
    if text.startswith("TransientError"):
        return TransientError(text.removeprefix("TransientError").removeprefix(": "), after=0 if again else math.inf)
    match = re.fullmatch(r"(?P<name>\S+) \(decoder\): (?P<message>.*)", text, re.DOTALL)
    return PluginError(match["message"], "decoder", match["name"]) if match else PluginError(text, "decoder", "recorded")


def for_tapes(tapes: Tapes) -> type[TapeDecoder]:
    """A decoder class that serves `tapes`, under however many names a pipeline has for it."""
    return type("BoundTapeDecoder", (TapeDecoder,), {"tapes": tapes, "__module__": __name__})
