"""The order in which stored completions arrive: that of a clock which jumps from one to the next.

Each call takes as long as it took when it was recorded, so that a sampler which counts votes as they come, or cancels what is
under way, sees what it would have seen. Nothing is waited for in real time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
QUIET = 25
"""Turns of the event loop without anything new after which the sampler is taken to wait for the next completion."""
PAUSE = 0.001
"""Seconds between looks at a verifier that computes."""

_clock: ContextVar[Clock] = ContextVar("clock")


class Clock:
    """The time of one run, in recorded seconds. Everything happens in the loop's thread."""

    def __init__(self) -> None:
        self.now = 0.0
        self.judging = self.asking = self.threads = 0
        """Planners and verifiers at work; calls of theirs that are under way; jobs of the run in threads."""
        self._changes = 0
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._called = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The clock goes while the block runs, for everything that is started in it."""
        token, pump = _clock.set(self), asyncio.create_task(self._pump())
        try:
            yield
        finally:
            _clock.reset(token)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    def changed(self) -> None:
        """Something has happened in the run."""
        self._changes += 1

    async def wait(self, seconds: float) -> None:
        """Return when so much of the clock's time has passed, and nothing that would have come before is still to come."""
        done = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now + seconds, next(self._numbers), done))
        self.changed()
        self._called.set()
        await done

    async def _pump(self) -> None:
        while True:
            await self._called.wait()
            await self._quiet()
            while self._waiting:
                at, _, done = heapq.heappop(self._waiting)
                if not done.done():
                    self.now = max(self.now, at)
                    done.set_result(None)
                    break
            else:
                self._called.clear()
            self.changed()

    async def _quiet(self) -> None:
        """Until the run does nothing but wait."""
        quiet, seen = 0, self._changes
        while quiet < QUIET:
            busy = self.threads or (self.judging and not self.asking)
            await asyncio.sleep(PAUSE if busy else 0)
            quiet, seen = (0, self._changes) if busy or seen != self._changes else (quiet + 1, seen)


class Threads(ThreadPoolExecutor):
    """The event loop's threads, telling each run's clock of its jobs."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        clock = _clock.get(None)
        future = super().submit(fn, *args, **kwargs)
        if clock is None:
            return future
        loop = asyncio.get_running_loop()
        clock.threads += 1

        def done(_: Future[T]) -> None:
            loop.call_soon_threadsafe(_one_less, clock)

        future.add_done_callback(done)
        return future


def _one_less(clock: Clock) -> None:
    clock.threads -= 1
