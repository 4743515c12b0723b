"""A thread with an event loop of its own, so that synchronous code, also inside a running loop, can await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """Starts on construction; `call` may be used from any thread but its own; `close` ends the thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="k2core-portal", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._forever())

    async def _forever(self) -> None:
        self._stop = asyncio.Event()
        await self._stop.wait()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. An interrupt while waiting cancels it."""
        return run_in(self.loop, work)

    def close(self) -> None:
        """Cancel what still runs, and join the thread."""
        self.loop.call_soon_threadsafe(lambda: self._stop.set())
        self._thread.join()


def run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop that another thread runs."""
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
