"""Confidence intervals for means over problems. A problem with all its repeats is one observation: repeats do not make problems.

Sources: Efron, "Better bootstrap confidence intervals", JASA 82 (1987), for BCa; Hesterberg, "What teachers should know about the
bootstrap", The American Statistician 69 (2015), for widening it at few observations; Wilson, JASA 22 (1927); Bonett and Price,
"Adjusted Wald confidence interval for a difference of binomial proportions based on paired data", JEBS 37 (2012); Zou and
Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27 (2008), for weighted sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .records import LEVEL, Estimate

Array: TypeAlias = NDArray[np.float64]

DRAWS = 4000
_CHUNK = 1 << 20
"""Most random indices held at once."""
_FEW = 10.0
"""Effective number of problems that hold the rarer outcome, below which the bootstrap sees too little of it."""
_FEW_DIFFER = 6.0
"""The same for problems on which two arms differ; fewer never are significant."""
_TINY = 1e-12
_NORMAL = NormalDist()

BCA = "clustered bootstrap (BCa)"
WILSON = "Wilson on problems"
ADJUSTED = "Bonett-Price on problems"
MOVER = "from the tasks' intervals (MOVER)"


def mean_interval(values: Array, seed: int = 0) -> Estimate:
    """Mean of problem means in 0..1, shape (problems,), and its interval by BCa over problems.

    Where fewer than about ten problems hold all that is wrong, or all that is right, or all that deviates from the median, it is
    Wilson's interval for that many problems of one sample each instead: 30 of 30 right gives 0.886..1, whatever the repeats.
    """
    if not len(values):
        return Estimate(value=None)
    mean = float(np.mean(values))
    rarer = values if mean <= 0.5 else 1 - values
    if min(len(values), _effective(rarer), _deviating(values)) < _FEW:
        low, high = wilson(mean, len(values))
        return _estimate(mean, low, high, WILSON, len(values))
    low, high = _bca([values], [1.0], seed)
    return _estimate(mean, max(0.0, low), min(1.0, high), BCA, len(values))


def difference_interval(values: Array, seed: int = 0) -> Estimate:
    """Mean of paired differences in -1..1, shape (problems,), and its interval, as `mean_interval`.

    Where fewer than about six problems differ, it is Bonett's and Price's, with differences counted as discordant problems.
    """
    if not len(values):
        return Estimate(value=None)
    mean = float(np.mean(values))
    if min(len(values), _effective(np.abs(values)), _deviating(values)) < _FEW_DIFFER:
        low, high = adjusted_wald(values)
        return _estimate(mean, low, high, ADJUSTED, len(values))
    low, high = _bca([values], [1.0], seed)
    return _estimate(mean, max(-1.0, low), min(1.0, high), BCA, len(values))


def weighted_interval(strata: Sequence[Array], weights: Sequence[float], *, paired: bool = False, seed: int = 0) -> Estimate:
    """Mean of the strata's means, with `weights` that add up to 1.

    By a bootstrap within each stratum, or by MOVER where one of them has no bootstrap interval.
    """
    kept = [(values, weight) for values, weight in zip(strata, weights, strict=True) if len(values)]
    if not kept:
        return Estimate(value=None)
    single = [(difference_interval if paired else mean_interval)(values, seed) for values, _ in kept]
    problems = sum(len(values) for values, _ in kept)
    if len(kept) == 1 and abs(kept[0][1] - 1) < _TINY:
        return single[0]
    mean = weighted([float(np.mean(values)) for values, _ in kept], [weight for _, weight in kept])
    if any(estimate.method != BCA for estimate in single):
        low, high = _mover(mean, single, [weight for _, weight in kept])
        return _estimate(mean, low, high, MOVER, problems)
    low, high = _bca([values for values, _ in kept], [weight for _, weight in kept], seed)
    return _estimate(mean, max(-1.0 if paired else 0.0, low), min(1.0, high), BCA, problems)


def weighted(scores: Sequence[float], weights: Sequence[float]) -> float:
    """sum(w s) / sum(w). With equal weights the macro-average, with numbers of problems the micro-average."""
    return sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)


def wilson(mean: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for a share of `n`."""
    z = _NORMAL.inv_cdf((1 + level) / 2)
    centre, scale = mean + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(max(0.0, mean * (1 - mean)) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def adjusted_wald(differences: Array, level: float = LEVEL) -> tuple[float, float]:
    """Bonett's and Price's interval: one problem is added that A alone solves, and one that B alone solves."""
    n, z = len(differences) + 2, _NORMAL.inv_cdf((1 + level) / 2)
    more, less = float(differences[differences > 0].sum()) + 1, float(-differences[differences < 0].sum()) + 1
    mean = (more - less) / n
    half = z * math.sqrt(((more + less) / n - mean * mean) / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def resampled(values: Array, draws: int, luck: np.random.Generator) -> Array:
    """Means of `draws` resamples of the problems, shape (draws,); memory is bounded, however many problems there are."""
    rows = max(1, _CHUNK // len(values))
    parts = [values[luck.integers(0, len(values), (min(rows, draws - at), len(values)))].mean(1) for at in range(0, draws, rows)]
    return np.concatenate(parts)


def student(probability: float, freedom: float) -> float:
    """Quantile of Student's t by the expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5); to 0.2 % from 3 degrees on."""
    z = _NORMAL.inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def _bca(strata: Sequence[Array], weights: Sequence[float], seed: int, level: float = LEVEL) -> tuple[float, float]:
    """Bias-corrected and accelerated limits of a weighted sum of means, widened for few observations."""
    luck = np.random.default_rng(seed)
    means = np.zeros(DRAWS)
    for values, weight in zip(strata, weights, strict=True):
        means += weight * resampled(values, DRAWS, luck)
    mean = weighted([float(np.mean(values)) for values in strata], weights)
    below = float(np.mean(means < mean - _TINY) + np.mean(np.abs(means - mean) <= _TINY) / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 1 / DRAWS), 1 - 1 / DRAWS))
    influence = np.concatenate([w * (v - v.mean()) / len(v) for v, w in zip(strata, weights, strict=True)])
    acceleration = float((influence**3).sum()) / (6 * float((influence**2).sum()) ** 1.5)
    tail = _NORMAL.cdf(-_widening(strata, weights, level))
    ends = [_shifted(p, bias, acceleration) for p in (tail, 1 - tail)]
    low, high = np.quantile(means, ends)
    return float(low), float(high)


def _shifted(probability: float, bias: float, acceleration: float) -> float:
    z = bias + _NORMAL.inv_cdf(probability)
    return _NORMAL.cdf(bias + z / max(1 - acceleration * z, _TINY))


def _widening(strata: Sequence[Array], weights: Sequence[float], level: float) -> float:
    """How many bootstrap standard errors Student's interval is wide: its quantile, times what the bootstrap's variance lacks."""
    parts = [(w * w * float(np.var(v)) / len(v), len(v)) for v, w in zip(strata, weights, strict=True)]
    plain = sum(part for part, _ in parts)
    unbiased = [(part * n / (n - 1), n) for part, n in parts]
    total = sum(part for part, _ in unbiased)
    freedom = total**2 / sum(part**2 / (n - 1) for part, n in unbiased)
    return math.sqrt(total / plain) * student((1 + level) / 2, freedom)


def _mover(mean: float, parts: Sequence[Estimate], weights: Sequence[float]) -> tuple[float, float]:
    def reach(upper: bool) -> float:
        ends = [((e.high if upper else e.low) or 0.0) - (e.value or 0.0) for e in parts]
        return math.sqrt(sum((w * end) ** 2 for w, end in zip(weights, ends, strict=True)))

    return mean - reach(False), mean + reach(True)


def _deviating(values: Array) -> float:
    return _effective(np.abs(values - np.median(values)))


def _effective(values: Array) -> float:
    """Kish's effective number of problems that hold the sum of `values` >= 0."""
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / squares if squares > 0 else 0.0


def _estimate(mean: float, low: float, high: float, method: str, problems: int) -> Estimate:
    return Estimate(value=mean, low=min(low, mean), high=max(high, mean), method=method, problems=problems)
