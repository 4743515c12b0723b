"""What a comparison of two evaluations says. Differences are B - A."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from k2core.types import Record

from ..statistics.records import AtK, Estimate

VERSION = 1

Verdict: TypeAlias = Literal["A is better", "B is better", "no difference shown"]


class Budget(Record):
    """How the two were brought to equal total tokens: every role, planner, judge, cancelled and failed calls included."""

    a: float
    """Mean tokens of a sample of A."""
    b: float
    equal: bool
    """Whether the figures are at equal tokens, as they are or made so."""
    votes_a: float = 1.0
    """Samples that A decides by majority vote; a fraction mixes the two whole numbers beside it."""
    votes_b: float = 1.0
    needed: int = 0
    """Repeats that the cheaper arm needs for it and has not; 0 where it has them."""
    note: str = ""
    """How it was done, or why it could not be."""


class Side(Record):
    """One arm on one task, as it ran."""

    accuracy: Estimate
    repeats: int
    samples: int
    missing: int
    curve: tuple[AtK, ...] = ()
    """Accuracy against tokens: pass@k and maj@k for k = 1..repeats."""


class Difference(Record):
    """Paired by problem."""

    difference: Estimate
    p: float
    """Two-sided, of this test alone."""
    test: str


class TaskComparison(Record):
    name: str
    problems: int
    """That both have samples of."""
    a: Side
    b: Side
    budget: Budget
    unequal: Difference
    """As the two ran, whatever they spent."""
    equal: Difference | None = None
    """At equal total tokens; None where that cannot be had."""
    accuracy_a: float | None = None
    """At equal total tokens."""
    accuracy_b: float | None = None
    p_adjusted: float | None = None
    """Of `equal`, corrected for all verdicts of this comparison (Holm)."""
    verdict: Verdict = "no difference shown"
    reason: str = ""
    """Why this verdict."""
    detectable: float | None = None
    """True difference that would have been shown four times in five."""


class Overall(Record):
    """A mean over the tasks, at equal total tokens."""

    name: str
    weights: Mapping[str, float]
    equal: Difference | None = None
    p_adjusted: float | None = None
    verdict: Verdict = "no difference shown"
    reason: str = ""
    detectable: float | None = None


class Flag(Record):
    """Something a sceptic would ask about, with the two values."""

    kind: Literal[
        "budget",
        "external model",
        "prompt",
        "model",
        "effort",
        "limits",
        "sampling",
        "grading",
        "repeats",
        "seed",
        "versions",
        "incomplete",
        "infrastructure",
        "truncation",
        "preset",
        "published",
        "counting",
        "setting",
    ]
    text: str
    a: str = ""
    b: str = ""
    task: str = ""


class Arm(Record):
    path: str
    label: str
    preset: str = ""
    samples: int
    tokens: int
    complete: bool


class Comparison(Record):
    version: int = VERSION
    a: Arm
    b: Arm
    tolerance: float
    tasks: tuple[TaskComparison, ...]
    skipped: Mapping[str, str] = {}
    """Tasks that cannot be compared, and why."""
    macro: Overall
    """The verdict of the whole: each task counts the same. With one task it is that task's."""
    micro: Overall
    """Each problem counts the same. For information: it has no verdict of its own."""
    flags: tuple[Flag, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return self.macro.verdict
