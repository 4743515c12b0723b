"""Tail probabilities and effect sizes, in double precision with nothing but numpy and the standard library.

The incomplete gamma function follows its series and continued fraction (Abramowitz and Stegun 6.5.29 and 6.5.31).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

POWER = 0.95
"""With which the smallest bias that a test is said to find is found."""
_STEPS = 2000


def gamma_tail(shape: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(shape, x), for shape > 0."""
    if x <= 0:
        return 1.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for k in range(1, _STEPS):
            term *= x / (shape + k)
            total += term
            if term < total * 1e-15:
                break
        return max(0.0, 1 - front * total)
    return front * _fraction(shape, x)


def _fraction(shape: float, x: float) -> float:
    """Lentz's evaluation of the continued fraction of Q."""
    tiny = 1e-300
    b, c = x + 1 - shape, 1 / tiny
    d = result = 1 / b
    for k in range(1, _STEPS):
        a = -k * (k - shape)
        b += 2
        d = 1 / (a * d + b or tiny)
        c = b + a / c or tiny
        result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return result


def chi_square_tail(x: float, dof: int, shift: float = 0.0) -> float:
    """P(chi-square of `dof` degrees of freedom and non-centrality `shift` > x): a Poisson mixture of central ones."""
    if dof < 1:
        return 1.0
    if shift <= 0:
        return gamma_tail(dof / 2, x / 2)
    half, total = shift / 2, 0.0
    spread = 9 * math.sqrt(half) + 12
    for j in range(max(0, int(half - spread)), int(half + spread) + 1):
        weight = math.exp(j * math.log(half) - half - math.lgamma(j + 1))
        total += weight * gamma_tail(dof / 2 + j, x / 2)
    return min(1.0, total)


def poisson_tail(count: int, mean: float) -> float:
    """P(N >= count)."""
    return 1.0 if count <= 0 else 1 - gamma_tail(count, mean)


def poisson_head(count: int, mean: float) -> float:
    """P(N <= count)."""
    return gamma_tail(count + 1, mean)


def normal_tail(z: float) -> float:
    """P(Z > z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def normal_point(tail: float) -> float:
    """The z that is passed with probability `tail`."""
    return NormalDist().inv_cdf(1 - max(tail, 1e-15))


def z_power(level: float) -> float:
    """By how many standard errors a bias must exceed its margin to be found at `level`, two-sided, with `POWER`."""
    return normal_point(level / 2) + normal_point(1 - POWER)


def chi_square_power(dof: int, level: float, shift: float = 0.0) -> float:
    """The non-centrality that is found with `POWER` by a test at `level` whose null hypothesis allows `shift`."""
    point = _root(lambda x: level - chi_square_tail(x, dof, shift))
    return _root(lambda s: chi_square_tail(point, dof, s) - POWER)


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of x > 0 passes zero."""
    high = 1.0
    while rising(high) < 0 and high < 1e7:
        high *= 2
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting those at most alpha keeps all true hypotheses with probability 1 - alpha (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [1.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted
