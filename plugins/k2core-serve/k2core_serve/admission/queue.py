"""Places to work, and the queue for them: by priority, then by arrival."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..openai.errors import ApiError, overloaded

Waiting = tuple[int, int, "asyncio.Future[None]"]


class Places:
    """At most `running` at once; at most `queued` wait, each at most `seconds`."""

    def __init__(self, running: int, queued: int, seconds: float) -> None:
        self.free, self._queued, self._seconds = running, queued, seconds
        self.running = 0
        self._waiting: list[Waiting] = []
        self._arrivals = itertools.count()
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, priority: int) -> AsyncIterator[None]:
        """A place in the block. Raises `ApiError` 503 when the queue is full, too slow or closed."""
        if self._closed:
            raise _closing()
        if not self.free:
            await self._wait(priority)
        else:
            self.free -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._release()

    async def _wait(self, priority: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine = (priority, next(self._arrivals), turn)
        self._make_room(priority)
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except BaseException as error:
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release()  # it was given a place and cannot take it
            if isinstance(error, TimeoutError):
                raise overloaded(f"no place became free within {self._seconds:g} s") from None
            raise

    def _make_room(self, priority: int) -> None:
        """A full queue gives up its last waiter for one of a higher priority, or refuses the newcomer."""
        if len(self._waiting) < self._queued:
            return
        last = max(self._waiting, default=None, key=lambda one: one[:2])
        if last is None or last[0] <= priority:
            raise overloaded(f"{len(self._waiting)} requests wait already")
        self._waiting.remove(last)
        last[2].set_exception(overloaded("the queue is full, and others go first"))

    def _release(self) -> None:
        while self._waiting:
            first = min(self._waiting, key=lambda one: one[:2])
            self._waiting.remove(first)
            if not first[2].done():
                first[2].set_result(None)
                return
        self.free += 1

    def close(self) -> None:
        """Admit nobody any more; who waits is sent away."""
        self._closed = True
        for _, _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(_closing())
        self._waiting.clear()


def _closing() -> ApiError:
    return overloaded("the server is shutting down", 5)
