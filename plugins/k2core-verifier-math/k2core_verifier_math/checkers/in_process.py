"""Our own checkers within strict limits, for the process and the thread that ask."""

from __future__ import annotations

from ..reading.answer import read
from ..reading.atoms import LONGEST_NUMBER
from ..reading.nodes import Node, Num, walk
from .decide import decide
from .opinions import Opinion
from .values import compare_values

_CHARACTERS, _RECORDS, _EVALUATIONS = 300, 160, 700
"""Longest answer, most records in two of them, and most evaluations of one, in this process: about a millisecond."""
_ALL_EVALUATIONS, _OVERHEAD = 1200, 10
"""Records in all pairs of values that are compared for two answers, and what a pair counts besides."""


def quick(gold: str, answer: str) -> Opinion | None:
    """The opinion of our own checkers on what they read and evaluate in about a millisecond; None for everything else."""
    if max(len(gold), len(answer)) > _CHARACTERS:
        return ("equal", "the same text") if gold.strip() == answer.strip() else _endless(gold, answer)
    return decide(gold, answer, _Limited().value, large=_RECORDS)


def _endless(gold: str, answer: str) -> Opinion | None:
    """More digits than any number that is read has: no number that was asked for."""
    if (
        len(answer) > LONGEST_NUMBER >= len(gold)
        and isinstance(read(gold), Num)
        and answer.strip().strip("-").replace(",", "").replace(".", "", 1).isdecimal()
    ):
        return "different", "a number of too many digits"
    return None


class _Limited:
    """Compares values until a budget for all of them is spent: the items of two lists are many pairs."""

    def __init__(self) -> None:
        self.left = _ALL_EVALUATIONS

    def value(self, gold: Node, answer: Node) -> Opinion | None:
        self.left -= _OVERHEAD + len(walk(gold)) + len(walk(answer))
        return compare_values(gold, answer, budget=_EVALUATIONS) if self.left > 0 else None
