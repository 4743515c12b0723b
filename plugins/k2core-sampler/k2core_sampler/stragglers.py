"""How many calls to start beyond the needed ones, so that a slow one does not hold up the decision: learnt from durations."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable

WORTH = 0.01
"""Seconds of median duration below which no spare call is worth its tokens."""
SLOW = 2.0
"""A straggler takes more than this times the median."""
PROMPT = 2 / 3
"""How often a decision shall not have to wait for a straggler."""


class Durations:
    """The latest calls: how long they took, or had taken when they were cancelled. For any thread."""

    def __init__(self, kept: int = 200) -> None:
        self._calls: deque[tuple[float, bool]] = deque(maxlen=kept)
        self._lock = threading.Lock()

    def add(self, seconds: float, finished: bool) -> None:
        with self._lock:
            self._calls.append((seconds, finished))

    def spare(self, needed: int, most: int) -> int:
        """The fewest calls beyond `needed`, at most `most`, with which enough of them probably are no stragglers."""
        with self._lock:
            share = straggling(self._calls)
        return next((spare for spare in range(most) if prompt(needed, spare, share) >= PROMPT), most) if share else 0


def straggling(calls: Iterable[tuple[float, bool]]) -> float:
    """The share of calls that take more than `SLOW` times the median; 0 when the median is below `WORTH`.

    By the Kaplan-Meier estimate, since a call cancelled early says only that it would have taken longer.
    """
    ordered = sorted(calls, key=lambda call: (call[0], not call[1]))
    still, median = 1.0, math.inf
    for place, (seconds, finished) in enumerate(ordered):
        if seconds > SLOW * median:
            break
        if finished:
            still *= 1 - 1 / (len(ordered) - place)
            median = min(median, seconds) if still <= 0.5 else median
    return still if WORTH <= median < math.inf else 0.0


def prompt(needed: int, spare: int, share: float) -> float:
    """The probability that of `needed + spare` calls at most `spare` are stragglers, each one being one with this probability."""
    calls = needed + spare
    return sum(math.comb(calls, slow) * share**slow * (1 - share) ** (calls - slow) for slow in range(spare + 1))
