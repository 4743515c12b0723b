"""Equal total tokens: the cheaper arm decides by a majority vote over as many of its own samples as the dearer one costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..statistics.intervals import Array
from ..statistics.table import TaskTable
from .records import Budget

Mode: TypeAlias = Literal["vote", "off"]


class Paired(NamedTuple):
    """The problems that both arms have samples of; all arrays of shape (problems,)."""

    a: Array
    """Accuracy of A as it ran, by problem."""
    b: Array
    tokens_a: float
    """Mean over problems of the mean tokens of a sample."""
    tokens_b: float
    votes_a: Sequence[Array]
    """By problem: accuracy of a vote of k = 1..r."""
    votes_b: Sequence[Array]


def paired(a: TaskTable, b: TaskTable) -> Paired:
    """Bring the samples of the same problems together."""
    places = np.intersect1d(a.places(), b.places())
    at_a, at_b = np.searchsorted(a.places(), places), np.searchsorted(b.places(), places)
    votes_a, votes_b = a.votes()[0], b.votes()[0]
    return Paired(
        a=a.by_problem(a.right)[at_a],
        b=b.by_problem(b.right)[at_b],
        tokens_a=_tokens(a, at_a),
        tokens_b=_tokens(b, at_b),
        votes_a=[votes_a[i] for i in at_a],
        votes_b=[votes_b[i] for i in at_b],
    )


def _tokens(table: TaskTable, problems: NDArray[np.intp]) -> float:
    return float(table.by_problem(table.column["tokens"].astype(np.float64))[problems].mean()) if len(problems) else 0.0


def budget(pair: Paired, tolerance: float, mode: Mode, can_vote: tuple[bool, bool] = (True, True)) -> Budget:
    """How to bring the two to equal tokens. `can_vote`: whether the answers of A and of B have a canonical form to vote by."""
    a, b = pair.tokens_a, pair.tokens_b
    if min(a, b) <= 0:
        return Budget(a=a, b=b, equal=a == b == 0, note="an arm has spent no tokens, or its back end does not count them")
    ratio = max(a, b) / min(a, b)
    if ratio <= 1 + tolerance:
        return Budget(a=a, b=b, equal=True, note=f"they differ by {100 * (ratio - 1):.1f} %, within the tolerance")
    cheap, dear, own, can = ("A", "B", pair.votes_a, can_vote[0]) if a < b else ("B", "A", pair.votes_b, can_vote[1])
    told = f"a sample of {dear} costs {ratio:.2f} times one of {cheap}"
    if mode == "off":
        return Budget(a=a, b=b, equal=False, note=f"{told}; equal tokens were not asked for")
    if not can:
        return Budget(a=a, b=b, equal=False, note=f"{told}, and the answers of {cheap} cannot vote: they have no canonical form")
    needed, have = math.ceil(ratio), min((len(curve) for curve in own), default=0)
    if have < needed:
        note = f"{told}, so {cheap} needs {needed} repeats of every problem, and has {have}"
        return Budget(a=a, b=b, equal=False, needed=needed, note=note)
    how = f"{told}; so {cheap} is given {ratio:.2f} of its own samples, decided by majority vote over its {have} repeats"
    votes_a, votes_b = (ratio, 1.0) if cheap == "A" else (1.0, ratio)
    return Budget(a=a, b=b, equal=True, votes_a=votes_a, votes_b=votes_b, note=how)


def at_votes(curves: Sequence[Array], own: Array, votes: float) -> Array:
    """Accuracy by problem of a vote of `votes` samples; between two whole numbers of them their mixture with that mean."""
    if votes == 1.0:
        return own
    low = math.floor(votes)
    part = votes - low
    first = np.array([curve[low - 1] for curve in curves])
    return first if part == 0 else (1 - part) * first + part * np.array([curve[low] for curve in curves])
