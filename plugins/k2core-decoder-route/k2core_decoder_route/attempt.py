"""One call to one of the decoders: who hears its first token, how its end is judged, and the kernel's retries kept off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from k2core.errors import PluginError, TransientError, explain
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .member import Member

CURRENT: ContextVar[Attempt | None] = ContextVar("k2core_route_attempt", default=None)
"""The attempt that the code runs for; attempts of routes within routes hang together by `parent`."""


class Failed(PluginError):
    """A call failed that the kernel would try again; a route goes on with the next decoder instead."""

    def __init__(self, error: TransientError, name: str) -> None:
        super().__init__(explain(error), "decoder", name)
        self.after = error.after


@dataclass(eq=False)
class Attempt:
    """A call on its way. Made and awaited in one task of its own."""

    member: Member
    route: str
    request: DecodeRequest
    measuring: bool = False
    parent: Attempt | None = None
    spoke: asyncio.Event = field(default_factory=asyncio.Event)
    """Its first token has come."""
    beaten: str = ""
    """By whom, before it said anything."""
    error: Exception | None = None
    """What it failed of."""
    _began: float = field(default_factory=time.monotonic)
    _first: float | None = None

    def heard(self) -> None:
        """A token has come."""
        if self._first is None:
            self._first = time.monotonic() - self._began
            self.spoke.set()
            if self.parent:
                self.parent.heard()

    @property
    def routes(self) -> list[str]:
        """The routes that led here, the outermost first."""
        return [*(self.parent.routes if self.parent else ()), self.route]

    async def make(self, run: Run) -> Sequence[Completion] | None:
        """The completions, or None where another decoder may be asked, with `error` set. Everything else is raised."""
        CURRENT.set(self)
        permit = self.member.breaker.begin()
        self.member.pace.measuring += self.measuring
        try:
            made = await run.decode(self.request)
        except asyncio.CancelledError:
            if self.beaten:
                silence = time.monotonic() - self._began
                self.member.pace.add(silence, silence, 0)
                self.member.breaker.failed(permit, f"silent for {silence:.1f} s, while {self.beaten} answered")
            else:
                self.member.breaker.released(permit)
            raise
        except PluginError as error:
            if error.role != "decoder":
                self.member.breaker.released(permit)
                raise
            self.error = error
            if refused(error):
                self.member.breaker.served(permit)
            else:
                self.member.breaker.failed(permit, said(error), getattr(error, "after", None))
            return None
        except BaseException:  # a budget, a time-out, a wrong configuration: not the back end's doing
            self.member.breaker.released(permit)
            raise
        finally:
            self.member.pace.measuring -= self.measuring
        self.member.breaker.served(permit)
        self._measure(made)
        return made

    def _measure(self, made: Sequence[Completion]) -> None:
        total = time.monotonic() - self._began
        tokens = max((completion.tokens for completion in made), default=0)
        self.member.pace.add(total if self._first is None else self._first, total, tokens)


def refused(error: Exception) -> bool:
    """Whether it is the request that is wrong, and no other decoder would do better."""
    return isinstance(error.__cause__, ValueError | TypeError | NotImplementedError)


def said(error: Exception) -> str:
    """What a decoder's error says, in one bounded line."""
    text = explain(error.__cause__ or error) if not isinstance(error, Failed) else explain(error)
    return text if len(text) <= 300 else text[:300] + " …"
