"""What is on its way to an engine's thread: requests, other weights, the end."""

from __future__ import annotations

import threading
from collections import deque

from .job import Job
from .weights import Swap


class Inbox:
    """`take` is for the engine's thread, all else for any."""

    def __init__(self) -> None:
        self._wake, self._closed = threading.Condition(), ""
        self._items: deque[Job | Swap] = deque()

    def put(self, *items: Job | Swap) -> None:
        """All of them at once. Raises `RuntimeError` when it is closed."""
        with self._wake:
            if self._closed:
                raise RuntimeError(self._closed)
            self._items.extend(items)
            self._wake.notify()

    def withdraw(self, swap: Swap) -> bool:
        """Take back weights that still wait; False where they have been let in."""
        with self._wake:
            waiting = swap in self._items
            if waiting:
                self._items.remove(swap)
            return waiting

    def cancel(self, job: Job) -> None:
        """Mark a request; one that still waits here has thereby ended."""
        with self._wake:
            job.cancelled, waiting = True, job in self._items
            if waiting:
                self._items.remove(job)
            self._wake.notify()
        if waiting:
            job.ended(None)

    def close(self, why: str = "the model has been unloaded") -> None:
        """Nothing is let in any more; the first reason given is what `put` tells."""
        with self._wake:
            self._closed = self._closed or why
            self._wake.notify()

    def take(self, busy: bool) -> tuple[bool, list[Job | Swap]]:
        """Whether it is closed, and what is let in: all up to other weights, which must find nothing at work; at the end all.

        Waits for something unless the engine is `busy`.
        """
        with self._wake:
            while not (self._items or busy or self._closed):
                self._wake.wait()
            taken = list[Job | Swap]()
            while self._items and (self._closed or not (isinstance(self._items[0], Swap) and (busy or taken))):
                taken.append(self._items.popleft())
            return bool(self._closed), taken
