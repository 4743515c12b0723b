"""Blocking work in a thread of its own, for a coroutine that can be cancelled; and the queue for the engine's slots."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """The result of `work()`. When cancelled, sets `stop`, waits until the work has really ended, and only then gives way."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, result)

    thread = threading.Thread(target=run, name="k2core-llamacpp")
    thread.start()
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled = error
            stop.set()
    thread.join()
    if cancelled is not None:
        done.exception()  # looked at, so that nobody misses it
        raise cancelled
    return done.result()


class Slots:
    """So many places, given out first come, first served, to coroutines of any event loop on any thread.

    llama.cpp has a queue of its own, but a request cannot be taken back from there.
    """

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def take(self, count: int) -> AsyncIterator[None]:
        """Hold `count` places, at most all, in the block."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append((count, granted))
        self._give(0)
        try:
            await granted
        except asyncio.CancelledError:
            self._withdraw(count, granted)
            raise
        try:
            yield
        finally:
            self._give(count)

    def _give(self, back: int) -> None:
        with self._lock:
            self._free += back
            while self._waiting and self._waiting[0][0] <= self._free:
                count, granted = self._waiting.popleft()
                self._free -= count
                granted.get_loop().call_soon_threadsafe(_settle, granted)

    def _withdraw(self, count: int, granted: asyncio.Future[None]) -> None:
        """Leave the queue, or give back what was granted just before."""
        with self._lock:
            waits = (count, granted) in self._waiting
            if waits:
                self._waiting.remove((count, granted))
        self._give(0 if waits else count)


def _settle(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)
