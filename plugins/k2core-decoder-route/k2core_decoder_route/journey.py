"""One request on its way to an answer: decoder after decoder, and two side by side where the first is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias

from k2core.errors import TransientError
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .attempt import CURRENT, Attempt, Failed, refused, said
from .choice import Chooser
from .config import RouteConfig
from .events import Routed
from .member import Member

Call: TypeAlias = "asyncio.Task[Sequence[Completion] | None]"


class Journey:
    """Asks until one answers. `down` says what to raise when none does."""

    def __init__(self, run: Run, path: str, config: RouteConfig, chooser: Chooser, members: Sequence[Member]) -> None:
        self._run, self._path, self._config, self._chooser, self._members = run, path, config, chooser, members
        self._tried: dict[str, Attempt] = {}
        self._calls: dict[Call, Attempt] = {}

    async def answer(self, request: DecodeRequest) -> Sequence[Completion] | None:
        """The completions; None when no decoder is left to ask."""
        try:
            while call := self._start(request):
                if (made := await self._raced(call, request)) is not None:
                    return made
            return None
        finally:
            await _ended(self._calls)

    def _start(self, request: DecodeRequest, why: str = "") -> Call | None:
        found = self._chooser.next(request, self._tried)
        if found is None:
            return None
        member, reason, measuring = found
        asked = request.model_copy(update={"decoder": member.name})
        attempt = Attempt(member, self._path, asked, measuring, CURRENT.get())
        self._tried[member.name] = attempt
        self._run.emit(Routed(plugin=self._path, decoder=member.name, why=why or reason))
        call: Call = asyncio.create_task(attempt.make(self._run))
        self._calls[call] = attempt
        return call

    async def _raced(self, first: Call, request: DecodeRequest) -> Sequence[Completion] | None:
        """Of one call, and of a second where the first stays silent: the completions of the one that speaks first."""
        racing = [first]
        if self._config.hedge_after is not None:
            await self._until(racing, self._config.hedge_after)
            silent = not first.done() and not self._calls[first].spoke.is_set()
            why = f"{self._calls[first].member.name} has been silent for {self._config.hedge_after:g} s"
            if silent and (second := self._start(request, why)):
                racing.append(second)
        while racing:
            await self._until(racing, None)
            ahead = next((c for c in racing if self._calls[c].spoke.is_set() and not (c.done() and self._lost(c))), None)
            done = [call for call in racing if call.done()]
            if ahead is None:
                ahead = next((call for call in done if not self._lost(call)), None)
            if ahead:
                self._beat([call for call in racing if call is not ahead], by=self._calls[ahead].member.name)
                if (made := await ahead) is None:
                    self._told(self._calls[ahead])
                return made
            for call in done:
                racing.remove(call)
                self._told(self._calls[call])
        return None

    def _lost(self, call: Call) -> bool:
        """Whether a call that is done has failed in a way that another decoder may make good."""
        return not call.cancelled() and call.exception() is None and call.result() is None

    async def _until(self, racing: Iterable[Call], seconds: float | None) -> None:
        """Until one of them speaks or ends."""
        heard = [asyncio.ensure_future(self._calls[call].spoke.wait()) for call in racing]
        try:
            await asyncio.wait([*racing, *heard], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in heard:
                wait.cancel()

    def _beat(self, calls: Iterable[Call], by: str) -> None:
        for call in calls:
            self._calls[call].beaten = by
            call.cancel()

    def _told(self, attempt: Attempt) -> None:
        """A call has failed: raise what is the caller's fault, else say that it goes on with another decoder."""
        error = attempt.error
        assert error is not None
        if refused(error) and not self._config.refusals:
            raise error
        warned = self._run.state.setdefault("warned", set())
        if attempt.member.name not in warned:
            warned.add(attempt.member.name)
            self._run.warn(self._path, f"{attempt.member.name} failed, others are asked: {said(error)}")

    def down(self) -> Exception:
        """What to raise when no decoder is left: transient, if waiting may help."""
        members = self._members
        states = "; ".join(member.standing() for member in members)
        message = f"{self._path}: none of {len(members)} decoders answers: {states}"
        errors = [attempt.error for attempt in self._tried.values() if attempt.error]
        if len(errors) == len(members) and not any(isinstance(error, Failed) for error in errors):
            return RuntimeError(message)
        wait = min(member.breaker.wait for member in members)
        return TransientError(f"{message}; the next may be tried in {wait:.1f} s", wait or None)


async def _ended(calls: Iterable[Call]) -> None:
    """Cancel what still runs, and let it settle, however often we are cancelled ourselves."""
    left = {call for call in calls if not call.done()}
    for call in left:
        call.cancel()
    cancelled = False
    while any(not call.done() for call in left):
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError:
            cancelled = True
    for call in calls:
        with suppress(asyncio.CancelledError):
            call.exception()
    if cancelled:
        raise asyncio.CancelledError
