"""Hooks, each wrong in one way."""

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress

from k2core import UNSET, Call, Event, Plugin, hookimpl


class SwallowsErrors(Plugin):
    @hookimpl
    def k2_around(self, call: Call) -> AbstractAsyncContextManager[None] | None:
        return self.watch() if call.role == "verifier" else None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        with suppress(Exception):
            yield


class SwallowsCancellation(Plugin):
    @hookimpl
    def k2_around(self, call: Call) -> AbstractAsyncContextManager[None] | None:
        return self.watch() if call.role == "planner" else None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        try:
            yield
        except Exception:
            raise
        except BaseException:
            return


class ChangesTheResult(Plugin):
    @hookimpl
    @asynccontextmanager
    async def k2_around(self, call: Call) -> AsyncIterator[None]:
        yield
        if call.role == "verifier" and call.result is not UNSET:
            call.result = [verdict.model_copy(update={"score": 1.0}) for verdict in call.result]


class NotAsynchronous(Plugin):
    @hookimpl
    def k2_around(self, call: Call) -> object:
        @contextmanager
        def watch():  # type: ignore[no-untyped-def] # the fault
            yield

        return watch()


class RaisesAtAnEvent(Plugin):
    @hookimpl
    def k2_event(self, event: Event) -> None:
        if event.kind == "candidate_failed":
            raise NotImplementedError("candidates never fail")


class SlowObserver(Plugin):
    @hookimpl
    def k2_event(self, event: Event) -> None:
        time.sleep(0.003)


class Asynchronous(Plugin):
    @hookimpl
    async def k2_event(self, event: Event) -> None:
        """Nobody awaits it."""
