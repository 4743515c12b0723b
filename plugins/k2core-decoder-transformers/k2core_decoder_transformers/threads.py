"""Blocking work in a thread of its own, for a coroutine that can be cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
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

    thread = threading.Thread(target=run, name="k2core-transformers-load")
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
