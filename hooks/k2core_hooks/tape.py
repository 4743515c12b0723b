"""The decoder of a replay: serves the calls of a trace in place of a model."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from k2core.errors import PluginError, TransientError
from k2core.events import CallEnded
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .reader import RecordedCall, RecordedRun

PATIENCE = 0.25
"""Seconds that a call waits for one that ended before it when recorded, as long as nothing else ends."""


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

    @property
    def request(self) -> DecodeRequest:
        return self.call.started.request

    @property
    def status(self) -> str:
        return self.call.ended.status if self.call.ended else "cancelled"


class Tape:
    """All calls of a trace; each is given out once."""

    def __init__(self, run: RecordedRun) -> None:
        ends = {event.call_id: float(place) for place, event in enumerate(run.events) if isinstance(event, CallEnded)}
        self.entries = [
            Entry(call, ends.get(call.started.call_id, math.inf), list(call.ended.completions) if call.ended else [])
            for call in run.calls
        ]
        self.waiting = 0
        self.active = time.monotonic()
        self._changed = asyncio.Condition()

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

    def repeats(self, entry: Entry) -> bool:
        """Whether the trace goes on with another attempt at the same request."""
        return any(not other.taken and other.request == entry.request for other in self.entries)

    async def turn(self, entry: Entry) -> None:
        """Wait for the calls that ended earlier when recorded, so that samplers which heed the order see the same one."""
        if entry.status == "cancelled":
            return
        async with self._changed:
            while any(not e.done and e.status != "cancelled" and e.rank < entry.rank for e in self.entries):
                try:
                    async with asyncio.timeout(PATIENCE):  # wait_for of Python 3.11 can swallow a cancellation
                        await self._changed.wait()
                except TimeoutError:
                    return

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


class TapeConfig(PluginConfig):
    """There is nothing to set."""


class TapeDecoder(Plugin):
    """Serves, fails and stalls as the trace says. `tape` is set by `for_tape`."""

    config: TapeConfig
    tape: ClassVar[Tape]

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        entry = self.tape.take(request)
        await self.tape.turn(entry)
        ended = entry.call.ended
        if ended:
            run.meter(prompt_tokens=ended.usage.prompt_tokens, completion_tokens=ended.usage.completion_tokens)
        if ended is None or ended.status != "served":
            await self._unfinished(run, entry)
            raise AssertionError("unreachable")
        for index, completion in enumerate(ended.completions):
            if completion.reasoning:
                run.delta(completion.reasoning, index, reasoning=True, tokens=0)
            run.delta(completion.text, index, tokens=completion.tokens)
        await self.tape.finish(entry)
        return ended.completions

    async def _unfinished(self, run: Run, entry: Entry) -> None:
        for delta in entry.call.partial:
            run.delta(delta.text, delta.index, reasoning=delta.reasoning, tokens=delta.tokens)
        if entry.status == "cancelled":
            await self.tape.until_cancelled()
        await self.tape.finish(entry)
        raise failure(entry, again=self.tape.repeats(entry))


def failure(entry: Entry, *, again: bool) -> Exception:
    """The error of a failed call, such that the kernel tries again if it did so when recorded, and words it alike."""
    text = entry.call.ended.error if entry.call.ended else ""
    if text.startswith("TransientError"):
        return TransientError(text.removeprefix("TransientError").removeprefix(": "), after=0 if again else math.inf)
    match = re.fullmatch(r"(?P<name>\S+) \(decoder\): (?P<message>.*)", text, re.DOTALL)
    return PluginError(match["message"], "decoder", match["name"]) if match else PluginError(text, "decoder", "recorded")


def for_tape(tape: Tape) -> type[TapeDecoder]:
    """A decoder class that serves `tape`, under however many names a pipeline has for it."""
    return type("BoundTapeDecoder", (TapeDecoder,), {"tape": tape, "__module__": __name__})
