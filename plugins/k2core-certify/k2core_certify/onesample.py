"""Tests of sampled tokens against the target's own distributions, at temperature 1.

Where the decoder reports log q of the tokens that it drew, a token counts p/q times ("sampling" tests): the expectation of
(p/q) f under q is that of f under p, so these tests ask whether tokens are drawn from the distribution that the decoder says it
has, whatever its arithmetic makes of the target's. Without that correction ("model" tests) a margin is allowed for arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .records import Finding, Kind, Numerics, Power
from .scoring import TINY, Floats, Scores
from .statistics import chi_square_power, chi_square_tail, normal_tail, poisson_head, poisson_tail, z_power

MARGINS = {"nats": 0.02, "top": 0.01, "w": 0.02, "tail": 0.002, "first": 0.1}
"""Biases that arithmetic may cause: mean log-probability, share of likeliest tokens, Cohen's w of the integral transform, share of
tail tokens, Cohen's w of first tokens."""
GROSS = 5.0
"""Beyond so many margins no arithmetic is an excuse."""
EDGES = (*(i / 10 for i in range(10)), 0.95, 0.98, 0.99, 1.0)
"""Of the cells of the probability integral transform: fine at the end, where filters cut."""
ENOUGH, ENOUGH_FIRST = 20.0, 5.0
"""Tokens that a cell is to be expected to hold, else it is pooled with its neighbour."""


@dataclass(frozen=True)
class Measured:
    """A finding, and what its p-value would be under the gross margin."""

    finding: Finding
    gross: float = 1.0


@dataclass(frozen=True)
class Counts:
    """First tokens of one prompt."""

    expected: Floats
    """Probabilities of the cells under the target."""
    observed: Floats
    """Counts, weighted by p/q where q is known."""
    raw: Floats


def tests(
    scores: Scores, reported: Floats | None, first: list[Counts], closed: list[Counts], rng: np.random.Generator
) -> list[Measured]:
    """All tests. `reported` are the decoder's own log-probabilities of the tokens, None unless it tells all of them."""
    found = []
    u = scores.below + rng.random(len(scores.logp)) * scores.width
    if reported is not None:
        weights = np.exp(np.clip(scores.logp - reported, -30, 30))
        found += _of_kind("sampling", scores, u, weights, 0.0)
        found += _firsts("sampling", first, closed, 0.0)
    found += _of_kind("model", scores, u, None, 1.0)
    found.append(tail(scores))
    found += _firsts("model", first, closed, 1.0)
    return found


def _of_kind(kind: Kind, scores: Scores, u: Floats, weights: Floats | None, allowed: float) -> list[Measured]:
    about = "log-probability of the sampled tokens plus the entropy, which is 0 in expectation"
    top = "how often the likeliest token is sampled, against its probability"
    spread = scores.top * (1 - scores.top)
    surprise, likeliest = scores.logp + scores.entropy, scores.is_top - scores.top
    return [
        moment("mean log-probability", about, kind, surprise, scores.variance, weights, allowed * MARGINS["nats"], "nats"),
        moment("likeliest token", top, kind, likeliest, spread, weights, allowed * MARGINS["top"], "share"),
        transform(kind, u, weights, allowed * MARGINS["w"]),
    ]


def _firsts(kind: Kind, first: list[Counts], closed: list[Counts], allowed: float) -> list[Measured]:
    made = []
    for name, about, counts in (
        ("first tokens", "first tokens against their exact probabilities", first),
        ("closed vocabulary", "answers that are one of few tokens against their exact, renormalised probabilities", closed),
    ):
        if sum(len(c.expected) > 1 for c in counts):
            made.append(cells(name, about, kind, counts, allowed * MARGINS["first"]))
    return made


def moment(
    name: str, about: str, kind: Kind, values: Floats, variance: Floats, weights: Floats | None, margin: float, unit: str
) -> Measured:
    """The mean of a martingale difference, two-sided; its variance from the target, or from the weighted values themselves.

    Sequences are no clusters here: given what came before, each difference has mean zero, so they are uncorrelated.
    """
    n = len(values)
    weighted = values if weights is None else values * weights
    total = float(variance.sum() if weights is None else np.square(weighted).sum())
    error = math.sqrt(max(total, 1e-12)) / n
    bias = float(weighted.mean())

    def p(allowed: float) -> float:
        return min(1.0, normal_tail((abs(bias) - allowed) / error) + normal_tail((abs(bias) + allowed) / error))

    finding = Finding(
        name=name, about=about, kind=kind, statistic=bias / error, bias=bias, unit=unit, margin=margin, p=p(margin), samples=n,
        detectable=error,
    )  # fmt: skip # `detectable` is the standard error until the level is known
    return Measured(finding, p(GROSS * margin) if margin else 1.0)


def tail(scores: Scores) -> Measured:
    """Tokens less likely than `TINY`, too many or too few by a Poisson distribution."""
    n, mean = len(scores.logp), float(scores.tail.sum())
    count = int((scores.logp < math.log(TINY)).sum())

    def p(margin: float) -> float:
        return min(1.0, 2 * min(poisson_tail(count, mean + n * margin), poisson_head(count, max(0.0, mean - n * margin))))

    margin = MARGINS["tail"]
    finding = Finding(
        name="tail mass", about=f"tokens with a probability below {TINY:g} ({count}) against their expectation ({mean:.1f})",
        kind="model", statistic=count, bias=(count - mean) / n, unit="share", margin=margin, p=p(margin), samples=n,
        detectable=math.sqrt(mean + n * margin) / n,
    )  # fmt: skip
    return Measured(finding, p(GROSS * margin))


def transform(kind: Kind, u: Floats, weights: Floats | None, margin: float) -> Measured:
    """The randomised probability integral transform, tokens ordered from the likeliest, is uniform: chi-square over cells."""
    edges, n = pooled_edges(len(u)), len(u)
    raw = np.histogram(u, edges)[0].astype(float)
    observed = raw if weights is None else np.histogram(u, edges, weights=weights)[0]
    about = "rank of the sampled token in the target's distribution (randomised probability integral transform), which is uniform"
    counts = Counts(np.diff(edges), observed * n / observed.sum(), raw)
    return cells("integral transform", about, kind, [counts], margin, inflation(weights))


def pooled_edges(n: int) -> Floats:
    """Those of `EDGES` between which at least `ENOUGH` of `n` are expected."""
    kept = [0.0]
    kept += [edge for edge in EDGES[1:] if n * (edge - kept[-1]) >= ENOUGH and (edge == 1 or n * (1 - edge) >= ENOUGH)]
    return np.unique([edge for edge in EDGES if edge in kept or edge in (0.0, 1.0)])


def inflation(weights: Floats | None) -> float:
    """By how much weights raise the variance of weighted counts."""
    return 1.0 if weights is None else max(1.0, float(np.square(weights).sum() / weights.sum()))


def cells(name: str, about: str, kind: Kind, counts: list[Counts], margin: float, spread: float = 1.0) -> Measured:
    """Chi-square over the cells of several prompts; the margin, Cohen's w, makes its null distribution a non-central one."""
    x, dof, n = 0.0, 0, 0.0
    for one in counts:
        total = one.raw.sum()
        observed = one.raw if kind == "model" else one.observed
        x += float((np.square(observed - total * one.expected) / (total * one.expected)).sum()) / spread
        dof, n = dof + len(one.expected) - 1, n + total
    bias = math.sqrt(max(0.0, x - dof) / n)
    found = Finding(
        name=name, about=f"{about}, {dof + len(counts)} cells", kind=kind, statistic=x, bias=bias, unit="w", margin=margin,
        p=chi_square_tail(x, dof, n * margin**2), samples=int(n), detectable=float(dof),
    )  # fmt: skip # likewise: the degrees of freedom
    return Measured(found, chi_square_tail(x, dof, n * (GROSS * margin) ** 2) if margin else 1.0)


def first_counts(probabilities: Floats, tokens: list[int], reported: list[float] | None, only: list[int] | None = None) -> Counts:
    """Pool the target's distribution of first tokens into cells; `only` renormalises over these tokens."""
    drawn = [(t, r) for t, r in zip(tokens, reported or [0.0] * len(tokens), strict=True) if only is None or t in only]
    wanted = probabilities
    if only is not None:
        wanted = np.zeros_like(probabilities)
        wanted[only] = probabilities[only] / probabilities[only].sum()
    order = [int(i) for i in np.argsort(-wanted)[:50] if len(drawn) * wanted[i] >= ENOUGH_FIRST]
    rest = max(0.0, 1 - float(wanted[order].sum()))
    if order and len(drawn) * rest < ENOUGH_FIRST:
        rest += float(wanted[order.pop()])
    place = {token: i for i, token in enumerate(order)}
    where = np.array([place.get(token, len(order)) for token, _ in drawn], int)
    expected = np.array([*wanted[order], rest])
    raw = np.bincount(where, minlength=len(expected)).astype(float)
    if reported is None or not drawn:
        return Counts(expected, raw, raw)
    weights = np.array([probabilities[t] for t, _ in drawn]) / np.exp([r for _, r in drawn])
    observed = np.bincount(where, weights, minlength=len(expected))
    return Counts(expected, observed * (len(drawn) / observed.sum() if only is not None else 1.0), raw)


def settled(found: list[Measured], alpha: float) -> list[Measured]:
    """With the level and what is detectable at it filled in."""
    level = alpha / max(1, len(found))
    return [Measured(test.finding.model_copy(update=_design(test.finding, level)), test.gross) for test in found]


def _design(finding: Finding, level: float) -> Mapping[str, Any]:
    given = finding.detectable or 0.0
    if finding.unit != "w":
        return {"level": level, "detectable": finding.margin + z_power(level) * given}
    shift = chi_square_power(int(given), level, finding.samples * finding.margin**2)
    return {"level": level, "detectable": math.sqrt(shift / finding.samples)}


def numerics(scores: Scores, reported: Floats) -> Numerics:
    """How the decoder's own log-probabilities differ."""
    gap = reported - scores.logp
    return Numerics(tokens=len(gap), mean=float(gap.mean()), rms=float(np.sqrt(np.square(gap).mean())))


def power(scores: Scores, found: list[Finding]) -> Power:
    """Shares of wrongly drawn tokens that are found with 95 %; by the sampling tests where there are any."""
    kind = "sampling" if any(f.kind == "sampling" for f in found) else "model"
    by_name = {f.name: f.detectable or math.inf for f in found if f.kind == kind}
    doubt, fall = float((1 - scores.top).mean()), float(scores.flat.mean())
    return Power(
        likeliest=min(1.0, by_name["likeliest token"] / max(doubt, 1e-9)),
        flattened=min(1.0, by_name["mean log-probability"] / max(fall, 1e-9)),
    )
