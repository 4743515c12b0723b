"""The plugin. It answers the calls to itself from `k2_around`, with calls to other decoders: those are in the ledger, it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import ClassVar

from k2core.errors import ConfigError, TransientError
from k2core.events import Delta, Event, RunStarted
from k2core.plugin import Plugin, hookimpl
from k2core.ports import UNSET, Call, Run
from k2core.types import Completion, DecodeRequest

from .attempt import CURRENT, Attempt, Failed
from .breaker import State
from .choice import Chooser
from .config import RouteConfig
from .events import BreakerMoved
from .journey import Journey
from .member import Member

_DOWN: ContextVar[Exception | None] = ContextVar("k2core_route_down", default=None)
"""Why nobody has answered the call that is being made."""


class Route(Plugin):
    """Whichever of several decoders is healthy, cheapest or fastest."""

    config: RouteConfig
    calls_tools: ClassVar[bool] = True
    """Whether the others can, the kernel asks of each."""

    def __init__(self, config: RouteConfig | None = None) -> None:
        super().__init__(config)
        self._members = [Member.of(name, self.config, self._moved) for name in self.config.decoders]
        self._chooser = Chooser(self.config, self._members)
        self._paths = {member.path: member for member in self._members}
        self._calls: dict[str, Attempt] = {}
        """Attempts by the kernel's id of the call, while they are silent."""
        self._run: Run | None = None
        """The run that was routed last, through which observers hear of breakers."""

    @hookimpl
    async def k2_start(self) -> None:
        """Raises `ConfigError` for a route to itself; longer circles are found by the first request that goes round."""
        if self.path in self._paths:
            place = [*self._paths].index(self.path)
            raise ConfigError("a route cannot lead to itself", f"{self.path}.decoders.{place}")

    @hookimpl
    async def k2_stop(self) -> None:
        self._run = None
        self._calls.clear()

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, Delta):
            if event.tokens and (attempt := self._calls.pop(event.call_id, None)):
                attempt.heard()
        elif isinstance(event, RunStarted):
            self._chooser.pipeline = event.config

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        if call.role != "decoder" or call.result is not UNSET:
            return None
        attempt = CURRENT.get()
        if attempt and attempt.route == self.path and attempt.request is call.args["request"]:
            return self._attempted(call, attempt)
        return self._routed(run, call) if call.plugin == self.path else None

    @asynccontextmanager
    async def _routed(self, run: Run, call: Call) -> AsyncIterator[None]:
        """Answer the call with those of others. Where nobody answers, `k2_decode` says so, for the kernel to try again."""
        attempt = CURRENT.get()
        if attempt and self.path in attempt.routes:
            circle = [*attempt.routes[attempt.routes.index(self.path) :], self.path]
            raise ConfigError(f"the routes go round in a circle: {' to '.join(circle)}", f"{self.path}.decoders")
        self._run = run
        journey = Journey(run, self.path, self.config, self._chooser, self._members)
        made = await journey.answer(call.args["request"])
        if made is None:
            _DOWN.set(journey.down())
        else:
            self._note(run, made)
            call.result = made
        yield

    @asynccontextmanager
    async def _attempted(self, call: Call, attempt: Attempt) -> AsyncIterator[None]:
        """Hear the call's first token, and let the route decide about another try, not the kernel."""
        self._calls[call.id] = attempt
        try:
            yield
        except TransientError as error:
            raise Failed(error, attempt.member.name) from error
        finally:
            self._calls.pop(call.id, None)

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        """Only asked when no decoder has answered: raises why not."""
        run.meter(prompt_tokens=0, completion_tokens=0)
        raise _DOWN.get() or RuntimeError(f"{self.path}: a route is asked through run.decode")

    def _note(self, run: Run, made: Sequence[Completion]) -> None:
        """Warn once when a run mixes models: its candidates then come from different distributions."""
        models: set[str] = run.state.setdefault("models", set())
        known = len(models)
        models |= {completion.model for completion in made if completion.model}
        if not self.config.mixed and known <= 1 < len(models):
            run.warn(self.path, f"this run mixes answers of different models, {', '.join(sorted(models))}; mixed = true allows it")

    def _moved(self, name: str, state: State) -> None:
        if self._run is None:
            return
        breaker = self._paths[f"decoders.{name}"].breaker
        error = "" if state == "closed" else breaker.last_error
        pause = breaker.wait if state == "open" else 0.0
        self._run.emit(BreakerMoved(plugin=self.path, decoder=name, state=state, error=error, pause=pause))
