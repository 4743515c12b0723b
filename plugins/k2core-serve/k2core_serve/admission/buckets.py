"""Token buckets that may be overdrawn: what a request costs is known only when it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Holds up to `size`, refilled evenly over `period` seconds. Starts full."""

    def __init__(self, size: float, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.size, self.rate, self._clock = size, size / period, clock
        self._level, self._at = size, clock()

    @property
    def level(self) -> float:
        now = self._clock()
        self._level, self._at = min(self.size, self._level + (now - self._at) * self.rate), now
        return self._level

    def wait(self, least: float) -> float:
        """Seconds until it holds `least`; 0 when it does."""
        return max(0.0, (least - self.level) / self.rate)

    def take(self, amount: float) -> None:
        """Take out `amount`, below zero if need be."""
        self._level = self.level - amount
