"""What k of a problem's r samples would give: pass@k and maj@k, unbiased from all r."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .intervals import Array

EXACT = 64
"""Most samples of a problem whose votes are counted out; beyond, they are drawn."""
_DRAWS = 2000

SILENT = 0
"""Key of a sample that has no vote: it was cut off, has no answer, or was not decided."""


class Curve(NamedTuple):
    """By number of votes, shape (r,): element k - 1 is for k."""

    accuracy: Array
    error: Array
    """Standard errors; 0 where the votes were counted out."""


def pass_at(samples: NDArray[np.int64], right: NDArray[np.int64], k: int) -> Array:
    """Probability that k of a problem's samples, drawn without replacement, hold a right one; shape (problems,).

    1 - prod over i = n - c + 1 .. n of (1 - k / i), with n `samples` of which c are `right`: the numerically stable form of
    1 - C(n - c, k) / C(n, k) of Chen et al., "Evaluating large language models trained on code" (2021). Every n must be >= k.
    """
    if len(samples) and int(samples.min()) < k:
        raise ValueError(f"pass@{k} needs {k} samples of each problem, not {int(samples.min())}")
    return np.array([1.0 - _none(int(n), int(c), k) for n, c in zip(samples, right, strict=True)])


@lru_cache(maxsize=1 << 16)
def _none(n: int, c: int, k: int) -> float:
    return float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1))) if n - c >= k else 0.0


def vote_curve(keys: Sequence[int], right: Sequence[bool], seed: int = 0) -> Curve:
    """Expected accuracy of the majority vote over k of a problem's r samples, drawn without replacement, for k = 1..r.

    Samples with equal keys vote together; `SILENT` ones have no vote, and without any vote the answer is wrong. A tie is broken
    by chance, which is the same as for the answer that came first, as samples are exchangeable. An answer is as right as the
    share of its samples that were graded so. Counted out up to `EXACT` samples, else drawn with `seed`.
    """
    counts: dict[int, list[int]] = {}
    for key, is_right in zip(keys, right, strict=True):
        if key != SILENT:
            both = counts.setdefault(key, [0, 0])
            both[0] += 1
            both[1] += bool(is_right)
    if len(keys) > EXACT:
        return _drawn(np.asarray(keys), np.asarray(right, dtype=float), seed)
    accuracy = np.zeros(len(keys))
    sizes = sorted(n for n, _ in counts.values())
    silent = len(keys) - sum(sizes)
    for n, good in counts.values():
        if good:
            others = list(sizes)
            others.remove(n)
            accuracy += good / n * np.array(_wins(n, tuple(others), silent))
    return Curve(accuracy, np.zeros(len(keys)))


@lru_cache(maxsize=1 << 14)
def _wins(mine: int, others: tuple[int, ...], silent: int) -> tuple[float, ...]:
    """Probability, by k, that the class of size `mine` wins a vote of k, a tie between t + 1 counting 1 / (t + 1)."""
    total = mine + sum(others) + silent
    won = np.zeros(total)
    for x in range(1, mine + 1):
        ways = _rivals(others, silent, x, total)
        shared = (ways / np.arange(1, len(ways) + 1)[:, None]).sum(0) * comb(mine, x)
        won[x - 1 :] += shared[: total - x + 1]
    return tuple(float(w) / comb(total, k) for k, w in enumerate(won, 1))


def _rivals(others: tuple[int, ...], silent: int, x: int, total: int) -> Array:
    """Ways to draw s samples from the others so that none has more than x votes and t have exactly x; shape (ties, s)."""
    ties = sum(n >= x for n in others)
    ways = np.zeros((ties + 1, total + 1))
    ways[0, : silent + 1] = [comb(silent, s) for s in range(silent + 1)]
    for n in others:
        after = ways.copy()
        for y in range(1, min(n, x - 1) + 1):
            after[:, y:] += comb(n, y) * ways[:, :-y]
        if n >= x:
            after[1:, x:] += comb(n, x) * ways[:-1, :-x]
        ways = after
    return ways


def _drawn(keys: NDArray[np.int64], right: Array, seed: int) -> Curve:
    """The curve by drawing orders of the samples; each order gives a vote for every k."""
    luck = np.random.default_rng(seed)
    classes, index = np.unique(keys, return_inverse=True)
    worth = np.array([0.0 if c == SILENT else right[index == i].mean() for i, c in enumerate(classes)])
    total, square = np.zeros(len(keys)), np.zeros(len(keys))
    for _ in range(_DRAWS):
        votes = np.zeros((len(keys), len(classes)))
        votes[np.arange(len(keys)), index[luck.permutation(len(keys))]] = 1
        votes = votes.cumsum(0)
        votes[:, classes == SILENT] = 0
        best = (votes == votes.max(1, keepdims=True)) & (votes > 0)
        won = (best * worth).sum(1) / np.maximum(best.sum(1), 1)
        total, square = total + won, square + won * won
    mean = total / _DRAWS
    return Curve(mean, np.sqrt(np.maximum(square / _DRAWS - mean**2, 0)) / sqrt(_DRAWS))
