"""Intervals, agreement and isotonic regression. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Interval = tuple[float, float]
_Z = 1.959964
"""Of a two-sided interval at 95 %."""


def wilson(right: float, n: int) -> Interval:
    """The Wilson score interval of a share, at 95 %; (0, 1) for nothing. Half points, as for ties, make it conservative."""
    if n == 0:
        return 0.0, 1.0
    p = right / n
    middle = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def jeffreys(right: int, n: int) -> tuple[float, Interval]:
    """Mean and 95 % interval of the posterior Beta(right + 1/2, wrong + 1/2), under Jeffreys' prior."""
    a, b = right + 0.5, n - right + 0.5
    return a / (a + b), (beta_quantile(0.025, a, b), beta_quantile(0.975, a, b))


def beta_quantile(p: float, a: float, b: float) -> float:
    """The value below which a share `p` of Beta(a, b) lies; by bisection to 10 digits."""
    low, high = 0.0, 1.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if beta_share(middle, a, b) < p else (low, middle)
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by the continued fraction (Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value = d
    for m in range(1, 500):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + factor * d or tiny)
            c = 1 + factor / c or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return value


def kappa(pairs: Sequence[tuple[object, object]]) -> float | None:
    """Cohen's kappa of two judges over the same items; None where chance alone would make them agree, or without items."""
    n = len(pairs)
    if not n:
        return None
    agreed = sum(one == other for one, other in pairs) / n
    ones, others = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(ones[name] * others[name] for name in ones) / n / n
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def isotonic(points: Sequence[tuple[float, bool]]) -> list[tuple[float, float, int]]:
    """A rising map from a value to the share of trues, by pooling adjacent violators: (highest value, share, count) by block.

    Each share is (trues + 1/2) / (count + 1), so that no block promises certainty.
    """
    blocks: list[list[float]] = []  # highest value, trues, count
    for value in sorted({value for value, _ in points}):
        here = [right for at, right in points if at == value]
        blocks.append([value, float(sum(here)), float(len(here))])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
            top = blocks.pop()
            blocks[-1] = [top[0], blocks[-1][1] + top[1], blocks[-1][2] + top[2]]
    return [(value, (right + 0.5) / (count + 1), int(count)) for value, right, count in blocks]


def above(rights: Sequence[float], wrongs: Sequence[float]) -> float | None:
    """The chance that a right one is rated above a wrong one, ties counting half (the area under the ROC curve)."""
    if not rights or not wrongs:
        return None
    return sum((a > b) + (a == b) / 2 for a in rights for b in wrongs) / len(rights) / len(wrongs)
