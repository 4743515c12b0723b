"""Tests of one decoder's samples against another's, by permutation of whole samples within their prompts.

A permutation test is exact whatever depends on what within a sample. Where both decoders couple their randomness to the seed, the
samples are alike beyond chance, and the test is conservative.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from .onesample import pooled_edges
from .records import Finding, Power
from .scoring import TINY, Floats, Scores
from .statistics import poisson_head, z_power

PERMUTATIONS = 4999
MOST_CELLS = 12
LEAST = 8
"""Times that a cell must occur in both together."""


class Shuffle:
    """Two groups of samples, and permutations of who belongs to which, within each prompt."""

    def __init__(self, mine: Sequence[str], others: Sequence[str], rng: np.random.Generator) -> None:
        """`mine` and `others` name the prompt of each sample."""
        self.strata = [*mine, *others]
        self.labels = np.array([True] * len(mine) + [False] * len(others))
        self.groups = [np.flatnonzero([s == name for s in self.strata]) for name in dict.fromkeys(self.strata)]
        self._signs = np.empty((PERMUTATIONS + 1, len(self.labels)), np.float32)
        self._signs[0] = self.labels
        for group in self.groups:
            keys = rng.random((PERMUTATIONS, len(group)), np.float32)
            self._signs[1:, group] = np.take(self.labels[group], keys.argsort(1))

    def test(self, name: str, rows: Floats, count: int, unit: str) -> Finding:
        """Hotelling's statistic for the difference of sums of `rows` [samples, columns]; `count` of mine bear a bias each."""
        centred = rows.copy()
        cov, share = np.zeros((rows.shape[1],) * 2), 0.0
        for group in self.groups:
            centred[group] -= rows[group].mean(0)
            a, n = int(self.labels[group].sum()), len(group)
            if n > 1:
                cov += a * (n - a) / (n * (n - 1)) * centred[group].T @ centred[group]
                share += a * (n - a) / n
        inverse = np.linalg.pinv(cov, rcond=1e-8, hermitian=True)
        sums = self._signs @ centred
        values = np.einsum("ij,ij->i", sums @ inverse, sums)
        p = float((values >= values[0] * (1 - 1e-6)).mean()) if values[0] > 1e-9 else 1.0
        tokens = max(1.0, share * count / max(1, int(self.labels.sum())))
        return _finding(name, sums[0], cov, float(values[0]), p, tokens, len(self.labels), unit)


def tests(mine: Sequence[Scores], others: Sequence[Scores], shuffle: Shuffle, rng: np.random.Generator) -> list[Finding]:
    """Tests with a target: `mine` and `others` are scores a sample, in the order of the shuffle."""
    both = [*mine, *others]
    edges = pooled_edges(sum(len(s.logp) for s in both))
    width = np.diff(edges)
    shapes = {
        "mean log-probability": [[float((s.logp + s.entropy).sum())] for s in both],
        "likeliest token": [[float((s.is_top - s.top).sum())] for s in both],
        "tail mass": [[float((s.logp < math.log(TINY)).sum() - s.tail.sum())] for s in both],
        "integral transform": [
            list(np.histogram(s.below + rng.random(len(s.logp)) * s.width, edges)[0] - len(s.logp) * width) for s in both
        ],
    }
    tokens = sum(len(s.logp) for s in mine)
    units = {"mean log-probability": "nats", "integral transform": "w"}
    return [shuffle.test(name, np.array(rows, float), tokens, units.get(name, "share")) for name, rows in shapes.items()]


def categorical(name: str, mine: Sequence[Hashable], others: Sequence[Hashable], shuffle: Shuffle) -> Finding | None:
    """Whether both fall into the same cells; None where there is none that is frequent enough. Rare ones are pooled."""
    both = list(zip(shuffle.strata, [*mine, *others], strict=True))
    seen = Counter(both)
    kept = [cell for cell, count in seen.most_common(4 * MOST_CELLS) if count >= LEAST]
    if not kept:
        return None
    rows = np.array([[cell == other for other in kept] for cell in both], float)
    return shuffle.test(name, rows, len(mine), "w")


def _finding(name: str, sums: Floats, cov: Floats, statistic: float, p: float, tokens: float, samples: int, unit: str) -> Finding:
    """`tokens` of bias 1 would move the sums by themselves; the standard error waits in `detectable` for the level."""
    if unit == "w":
        bias, error = math.sqrt(max(0.0, statistic - len(sums)) / samples), None
    else:
        bias, error = float(sums[0]) / tokens, math.sqrt(float(cov[0, 0])) / tokens
    about = f"{name} of both decoders' samples, by {PERMUTATIONS} permutations"
    return Finding(
        name=name, about=about, kind="sampling", statistic=statistic, bias=bias, unit=unit, p=p, samples=samples, detectable=error
    )


def settled(found: Sequence[Finding], alpha: float) -> list[Finding]:
    """With the level and what is detectable at it filled in."""
    level = alpha / max(1, len(found))

    def design(f: Finding) -> Finding:
        return f.model_copy(update={"level": level, "detectable": f.detectable and z_power(level) * f.detectable})

    return [design(f) for f in found]


def power(scores: Scores | None, found: Sequence[Finding], differing: float | None) -> Power:
    """As that of one sample, where there is a target."""
    if scores is None or not len(scores.logp):
        return Power(differing=differing)
    by_name = {f.name: f.detectable for f in found if f.detectable}
    doubt, fall = float((1 - scores.top).mean()), float(scores.flat.mean())
    return Power(
        likeliest=min(1.0, by_name.get("likeliest token", math.inf) / max(doubt, 1e-9)),
        flattened=min(1.0, by_name.get("mean log-probability", math.inf) / max(fall, 1e-9)),
        differing=differing,
    )


def most_differing(pairs: Sequence[tuple[Sequence[Hashable], Sequence[Hashable]]]) -> tuple[int, int, float]:
    """Pairs of samples with the same seed: how many part, after how many tokens alike, and a 95 % bound on the rate of parting."""
    parted = alike = 0
    for mine, other in pairs:
        same = next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), min(len(mine), len(other)))
        parted += same < max(len(mine), len(other))
        alike += same
    low, high = 0.0, 10.0 * (parted + 3)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if poisson_head(parted, middle) > 0.05 else (low, middle)
    return parted, alike, min(1.0, high / max(1, alike + parted))
