"""What a step costs as a function of its rows, learnt from the steps of this engine."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from statistics import median

KEPT = 9
"""Steps remembered for each count of rows: the median of nine stands four outliers."""
TRUSTED = 3
"""Steps after which a count of rows says something about the machine's present speed."""
SLOPE = 0.06
"""Before anything is known: one more row costs this share of a step of one row. Measured shares lie between 0 and 0.1."""


class CostModel:
    """seconds(rows) = level x shape(rows).

    The level follows every step, so that a busier machine or a longer context changes it and not the shape. The shape is the
    median of the last steps with about that many rows, each divided by the level of its time, made monotone (pool adjacent
    violators) and interpolated. Decisions depend on ratios of the shape.
    """

    def __init__(self, computed: Callable[[int], int] = lambda rows: rows) -> None:
        """`computed`: how many rows a pass over so many really computes. Those that it is filled up with cost like others."""
        self.computed = computed
        self._level = 0.0
        self._times: dict[int, deque[float]] = {}
        self._rows: list[int] = []
        self._fit: list[float] = []

    def learn(self, rows: int, seconds: float) -> None:
        """A step of `rows` rows took `seconds`."""
        if rows < 1 or seconds <= 0.0:
            return
        rows = self.computed(rows)
        key = _bucket(rows)
        times = self._times.setdefault(key, deque(maxlen=KEPT))
        if not self._level:
            self._level = seconds / _prior(rows)
        elif len(times) >= TRUSTED:
            ratio = seconds / self.seconds(rows)
            self._level *= 1.0 + 0.1 * (min(max(ratio, 0.5), 2.0) - 1.0)
        times.append(seconds / self._level)
        self._refit()

    def seconds(self, rows: int) -> float:
        """Expected seconds of a step of `rows` rows; 0 before the first step."""
        return self._level * self.shape(rows) if self._level else 0.0

    def shape(self, rows: int) -> float:
        """Relative cost, linear between what was seen; outside of it by the prior's slope."""
        rows = self.computed(rows)
        if not self._rows:
            return _prior(rows)
        at = bisect_left(self._rows, rows)
        if at == 0:
            return self._fit[0] * _prior(rows) / _prior(self._rows[0])
        if at == len(self._rows):
            return self._fit[-1] * _prior(rows) / _prior(self._rows[-1])
        low, high = self._rows[at - 1], self._rows[at]
        return self._fit[at - 1] + (self._fit[at] - self._fit[at - 1]) * (rows - low) / (high - low)

    def known(self, rows: int) -> bool:
        """Whether steps of about that many rows have been seen."""
        return len(self._times.get(_bucket(self.computed(rows)), ())) >= TRUSTED

    def _refit(self) -> None:
        self._rows = sorted(self._times)
        self._fit = _monotone([(median(self._times[rows]), len(self._times[rows])) for rows in self._rows])


def _prior(rows: int) -> float:
    return 1.0 + SLOPE * (rows - 1)


def _bucket(rows: int) -> int:
    """Up to eight rows each for itself, then in steps of about an eighth."""
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step


def _monotone(points: list[tuple[float, int]]) -> list[float]:
    """The non-decreasing sequence nearest to weighted values in least squares: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in points:
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (v, w, n), (u, x, m) = pools.pop(), pools.pop()
            pools.append(((v * w + u * x) / (w + x), w + x, n + m))
    return [value for value, _, count in pools for _ in range(count)]
