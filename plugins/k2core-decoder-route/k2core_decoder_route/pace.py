"""How fast a decoder has been of late."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

KEPT = 15
"""Measurements that count, the last ones; of these the median, which a few stalls do not move."""


@dataclass(frozen=True)
class Measured:
    at: float
    first: float
    """Seconds until the first token."""
    rate: float
    """Tokens a second of one choice after it; 0 where too short to tell."""
    tokens: int


class Pace:
    """Time to the first token and tokens a second, forgotten after `memory` seconds."""

    def __init__(self, memory: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory, self._clock = memory, clock
        self._kept: deque[Measured] = deque(maxlen=KEPT)
        self.measuring = 0
        """Calls in flight that were made in order to measure."""

    def add(self, first: float, total: float, tokens: int) -> None:
        """A call answered after `total` seconds with `tokens` tokens a choice."""
        rate = (tokens - 1) / (total - first) if tokens > 1 and total > first else 0.0
        self._kept.append(Measured(self._clock(), first, rate, tokens))

    def _recent(self) -> list[Measured]:
        horizon = self._clock() - self._memory
        return [one for one in self._kept if one.at >= horizon]

    @property
    def known(self) -> bool:
        return bool(self._recent())

    def expected(self, tokens: int) -> float:
        """Seconds for an answer of so many tokens; only where `known`."""
        recent = self._recent()
        rates = [one.rate for one in recent if one.rate > 0]
        return median(one.first for one in recent) + (tokens / median(rates) if rates else 0.0)

    def usual(self) -> int | None:
        """Tokens that an answer usually has."""
        told = [one.tokens for one in self._recent() if one.tokens]
        return int(median(told)) if told else None
