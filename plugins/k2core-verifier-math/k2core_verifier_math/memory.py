"""Opinions that were formed before: remembered, bounded, shared between threads, and never formed twice at the same time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeAlias

from .pool import WAITED, Opinion

Key: TypeAlias = tuple[str, str, str]
"""Reference, answer, and how they are compared."""

_LONG = 200
"""Texts longer than this are remembered by their digest, so that the memory is bounded by the number of entries."""


class Opinions:
    """The last `size` opinions. All methods may be called from any thread and any event loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._reset()

    def _reset(self) -> None:
        self._process_id = os.getpid()
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, Opinion] = OrderedDict()
        self._flights: dict[Key, Future[Opinion | None]] = {}

    def get(self, key: Key) -> Opinion | None:
        """What is remembered."""
        return self._find(_short(key))

    def put(self, key: Key, opinion: Opinion) -> None:
        """Remember an opinion, unless it says more about the state of this machine than about the answer."""
        if opinion[0] == "error" or opinion[1] == WAITED:
            return
        with self._lock:
            self._known[_short(key)] = opinion
            if len(self._known) > self._size:
                self._known.popitem(last=False)

    def _find(self, key: Key) -> Opinion | None:
        if self._process_id != os.getpid():  # forked: whoever was forming an opinion stayed with the parent
            self._reset()
        with self._lock:
            opinion = self._known.get(key)
            if opinion is not None:
                self._known.move_to_end(key)
            return opinion

    async def once(self, key: Key, form: Callable[[], Awaitable[Opinion]]) -> Opinion:
        """The remembered opinion, or that of whoever is forming it, or a new one. Cancelling one who asks disturbs no other."""
        name = _short(key)
        while (known := self._find(name)) is None:
            with self._lock:
                flight = self._flights.get(name)
                mine = flight is None
                if flight is None:
                    flight = self._flights[name] = Future()
                    flight.set_running_or_notify_cancel()
            if mine:
                return await self._lead(key, name, flight, form)
            known = await asyncio.wrap_future(flight)
            if known is not None:
                return known
        return known

    async def _lead(self, key: Key, name: Key, flight: Future[Opinion | None], form: Callable[[], Awaitable[Opinion]]) -> Opinion:
        """Form an opinion for all who wait. If that fails, the next of them tries."""
        opinion = None
        try:
            opinion = await form()
            self.put(key, opinion)
            return opinion
        finally:
            with self._lock:
                self._flights.pop(name, None)
            flight.set_result(opinion)


def _short(key: Key) -> Key:
    gold, answer, mode = key
    return _digest(gold), _digest(answer), mode


def _digest(text: str) -> str:
    if len(text) <= _LONG:
        return text
    return f"{len(text)} {hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
