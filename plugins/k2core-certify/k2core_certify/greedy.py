"""Temperature 0: the tokens themselves are compared, and positions where two are as good as equal are excused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .records import Finding
from .scoring import Scores
from .tokens import Tokens

UNKNOWN = 0.25
"""Tolerance in nats where the difference between the decoder's arithmetic and the target's is not known."""
LEAST, MOST = 0.02, 1.0
FACTOR = 5.0
"""Tolerance over the root mean square difference: beyond five of them there are no near-ties."""


@dataclass(frozen=True)
class Greedy:
    """What came out of the greedy samples."""

    finding: Finding
    wrong: int
    excused: int
    precision: int
    """Tokens that are not the target's choice, but the likeliest by the decoder's own account."""


def tolerance(rms: float | None) -> float:
    """Nats within which two tokens count as tied."""
    return UNKNOWN if rms is None else min(MOST, max(LEAST, FACTOR * rms))


def against_target(read: Sequence[Tokens], scores: Sequence[Scores], tied: float) -> Greedy:
    """Each token is the target's likeliest one after what came before."""
    wrong = excused = precision = total = 0
    worst = 0.0
    for tokens, score in zip(read, scores, strict=True):
        own = tokens.own_top or (False,) * len(tokens.ids)
        for place, gap in enumerate(score.gap):
            total += 1
            if gap <= 0:
                continue
            worst = max(worst, float(gap))
            excused += gap <= tied
            precision += gap > tied and own[place]
            wrong += gap > tied and not own[place]
    about = f"tokens at temperature 0 are the target's likeliest; ties within {tied:.3g} nats excused ({excused})"
    return Greedy(_finding("greedy, target", about, wrong, worst, total), wrong, excused, precision)


def against_other(
    pairs: Sequence[tuple[Sequence[object], Sequence[object]]],
    gaps: Sequence[tuple[Sequence[float], Sequence[float]] | None],
    tied: float,
) -> Greedy:
    """Both decoders' tokens are the same up to a near-tie. `gaps` are how far each token is from the likeliest, place by place."""
    wrong = excused = total = unknown = 0
    worst = 0.0
    for (mine, other), known in zip(pairs, gaps, strict=True):
        same = next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), min(len(mine), len(other)))
        total += same
        if same == len(mine) == len(other):
            continue
        if known is None:
            unknown += 1
            continue
        gap = max((side[same] for side in known if same < len(side)), default=0.0)
        worst = max(worst, gap)
        wrong, excused = wrong + (gap > tied), excused + (gap <= tied)
    about = f"the same tokens at temperature 0 as the other decoder; ties within {tied:.3g} nats excused ({excused})"
    return Greedy(_finding("greedy, other decoder", about, wrong, worst, total), wrong, excused, unknown)


def _finding(name: str, about: str, wrong: int, worst: float, total: int) -> Finding:
    """Nothing is random here: one token that is no tie decides."""
    return Finding(
        name=name, about=about, kind="greedy", statistic=wrong, bias=worst, unit="nats", p=0.0 if wrong else 1.0,
        adjusted=0.0 if wrong else 1.0, samples=total, rejected=wrong > 0,
    )  # fmt: skip
