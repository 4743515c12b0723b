"""Holding back work while a server is down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from k2core.errors import K2Error

_FIRST, _LONGEST = 1.0, 60.0
"""Seconds between probes: doubled from the first to the longest."""


class OutOfPatience(K2Error):
    """Nothing has succeeded for too long."""


class Gate:
    """Lets everything pass, until `several` tries in a row have failed; then one at a time, after growing pauses, until one
    succeeds. When nothing has succeeded for `patience` seconds since the first of these failures, it raises `OutOfPatience`."""

    def __init__(self, several: int, patience: float, told: Callable[[str], None], first: float = _FIRST) -> None:
        self._several, self._patience, self._told, self._first = several, patience, told, first
        self._failures = 0
        self._since = 0.0
        self._pause = first
        self._probing = asyncio.Lock()
        self._error = ""

    @property
    def closed(self) -> bool:
        return self._failures >= self._several

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """A try; say within it how it ended."""
        if not self.closed:
            yield
            return
        async with self._probing:
            if self.closed:
                await self._wait()
            yield

    async def _wait(self) -> None:
        left = self._since + self._patience - time.monotonic()
        if left <= 0:
            raise OutOfPatience(f"nothing has succeeded for {self._patience:g} s: {self._error}")
        await asyncio.sleep(min(self._pause, left))
        self._pause = min(_LONGEST, 2 * self._pause)

    def failed(self, error: str) -> None:
        """A try has failed in a way that may pass."""
        if not self._failures:
            self._since = time.monotonic()
        self._failures += 1
        self._error = error
        if self._failures == self._several:
            self._told(f"{error}; waiting, at most {self._patience:g} s")

    def succeeded(self) -> None:
        if self.closed:
            self._told("it works again")
        self._failures, self._pause = 0, self._first
