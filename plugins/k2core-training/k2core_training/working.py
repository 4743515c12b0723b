"""A training computes in a thread of its own; this is its way to the event loop, and the way to stop it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from k2core.events import Event
from k2core.ports import Session

T = TypeVar("T")


class Stopped(Exception):
    """The training was told to stop, and has."""


class Work:
    """What the thread holds: whether to stop, and the session."""

    def __init__(self, session: Session) -> None:
        """For the event loop's thread."""
        self.session, self._loop = session, asyncio.get_running_loop()
        self.stop = threading.Event()

    @property
    def stopping(self) -> bool:
        return self.stop.is_set()

    def check(self) -> None:
        """Raises `Stopped` once the training is to stop; between steps, and wherever nothing would be lost."""
        if self.stopping:
            raise Stopped("the training was stopped")

    def emit(self, event: Event) -> None:
        """Tell the pipeline's observers, from any thread."""
        self._loop.call_soon_threadsafe(self.session.emit, event)

    def ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine in the event loop, for the thread; it is cancelled when the training is to stop.

        What computes meanwhile is somebody else, such as a decoder, who gets the cores.
        """
        from k2core_decoder_transformers.engine.crew import disband

        disband()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        while True:
            try:
                return future.result(timeout=0.2)
            except TimeoutError:
                if future.done():
                    raise
                if self.stopping:
                    future.cancel()
                    raise Stopped("the training was stopped") from None

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work()` in a thread. When cancelled, sets `stop`, waits until the work has ended, and gives way then."""
        done: asyncio.Future[T] = self._loop.create_future()

        def body() -> None:
            try:
                result = work()
            except BaseException as error:
                self._loop.call_soon_threadsafe(done.set_exception, error)
            else:
                self._loop.call_soon_threadsafe(done.set_result, result)

        thread = threading.Thread(target=body, name="k2core-training")
        thread.start()
        cancelled: asyncio.CancelledError | None = None
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError as error:
                cancelled = error
                self.stop.set()
        thread.join()
        if cancelled is None:
            return done.result()
        if (failed := done.exception()) is not None and not isinstance(failed, Stopped):
            raise failed  # such as a full disk at the last checkpoint: nobody would learn of it otherwise
        raise cancelled
