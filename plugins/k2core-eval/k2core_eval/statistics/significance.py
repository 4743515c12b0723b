"""Whether two arms differ: exact and permutation tests paired by problem, correction for several, and what could have been seen."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .intervals import Array
from .records import LEVEL, Estimate

ALPHA = 0.035
"""Largest p at which a difference counts as shown."""
FLIPS = 20_000
_ENUMERATED = 14
"""Most differing problems whose signs are all tried."""
_CHUNK = 1 << 20
_TINY = 1e-9


class PValue(NamedTuple):
    p: float
    """Two-sided."""
    method: str


def mcnemar(more: int, less: int) -> float:
    """Exact two-sided p of McNemar's test: `more` problems that only A solved, `less` that only B did; binomial with 1/2."""
    n, small = more + less, min(more, less)
    return min(1.0, 2 * sum(comb(n, i) for i in range(small + 1)) / (1 << n))


def paired_test(differences: Array, seed: int = 0) -> PValue:
    """Of the hypothesis that each problem's difference, shape (problems,), is as likely as its negative.

    McNemar's exact test where all differences have one size, as with one repeat; else all signs are flipped, or `FLIPS` of
    their patterns drawn (Fisher's permutation test, with the observed pattern counted: p is never 0).
    """
    left = differences[np.abs(differences) > _TINY]
    if not len(left):
        return PValue(1.0, "no problem differs")
    sizes = np.abs(left)
    if np.ptp(sizes) < _TINY:
        return PValue(mcnemar(int((left > 0).sum()), int((left < 0).sum())), "McNemar, exact")
    reached = abs(float(left.sum())) - _TINY * float(sizes.sum())
    if len(left) <= _ENUMERATED:
        patterns = np.arange(1 << len(left))[:, None] >> np.arange(len(left)) & 1
        return PValue(float(np.mean(np.abs((2 * patterns - 1) @ sizes) >= reached)), "sign flips, exact")
    return PValue(_flipped(sizes, reached, seed), f"sign flips, {FLIPS:,} drawn")


def _flipped(sizes: Array, reached: float, seed: int) -> float:
    luck, hits = np.random.default_rng(seed), 0
    rows, width, total = max(1, _CHUNK // len(sizes)), (len(sizes) + 7) // 8, float(sizes.sum())
    for at in range(0, FLIPS, rows):
        count = min(rows, FLIPS - at)
        kept = np.unpackbits(np.frombuffer(luck.bytes(count * width), np.uint8).reshape(count, width), axis=1, count=len(sizes))
        hits += int((np.abs(2 * (kept.astype(np.float64) @ sizes) - total) >= reached).sum())
    return (1 + hits) / (1 + FLIPS)


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for being several (Holm 1979): at most 5 % of the time is any of them <= 0.05 by chance."""
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = highest
    return adjusted


def detectable(difference: Estimate) -> float | None:
    """The true difference that four comparisons in five like this one would have shown; None without an interval.

    It is z(1 - ALPHA / 2) + z(0.8) standard errors, as many as the interval's half width says there are in it.
    """
    if difference.low is None or difference.high is None:
        return None
    normal = NormalDist()
    error = (difference.high - difference.low) / 2 / normal.inv_cdf((1 + LEVEL) / 2)
    return (normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(0.8)) * error
