"""Work on the event loop in small portions, however many tasks come with some at the same time."""

from __future__ import annotations

import asyncio
import threading
import time

_HOLD = 0.005
"""Seconds for which the loop may be held up in one of its rounds."""


class Breath:
    """One for all tasks, loops and threads. `await breath.take()` before each portion of work."""

    def __init__(self) -> None:
        self._here = threading.local()

    async def take(self) -> None:
        """Wait for the next round of this thread's loop if this one has been held up long enough."""
        here, loop = self._here, asyncio.get_running_loop()
        while getattr(here, "loop", None) is loop and here.since is not None and time.perf_counter() - here.since > _HOLD:  # noqa: ASYNC110 # the next round of the loop is the event
            await asyncio.sleep(0)
        if getattr(here, "loop", None) is not loop or here.since is None:
            here.loop, here.since = loop, time.perf_counter()
            loop.call_soon(self._next_round, loop)

    def _next_round(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._here.loop is loop:
            self._here.since = None
