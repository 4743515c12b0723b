"""The whole comparison, in a worker process only: our own checkers with room to work, then computer algebra.

The order of strength is exact arithmetic, interval arithmetic, identity at random points, math-verify: the first that has an
opinion decides, and the reason names it. math-verify is given SymPy objects that were built from our records, never text: its
own readers let SymPy evaluate parts of a text as Python, and take words for products of letters.
"""

from __future__ import annotations

from .checkers.algebra import compare_algebra
from .checkers.decide import decide
from .checkers.opinions import Opinion, undecided
from .checkers.values import compare_values
from .reading.answer import read
from .reading.nodes import Node

_EVALUATIONS, _RECORDS = 100_000, 4000


def compare(gold: str, answer: str, *, symmetric: bool = False) -> Opinion:
    """Compare two answers in LaTeX or plain notation; `symmetric` tries both directions, for votes.

    Raises `MemoryError` and `RecursionError`; time is bounded by whoever started the process.
    """
    opinion = _one_way(gold, answer)
    if symmetric and opinion[0] != "equal":
        other = _one_way(answer, gold)
        return other if other[0] == "equal" else opinion
    return opinion


def _one_way(gold: str, answer: str) -> Opinion:
    if opinion := decide(gold, answer, _value, large=_RECORDS):
        return opinion
    unread = [name for name, text in (("the reference", gold), ("the answer", answer)) if read(text) is None]
    return undecided(f"{unread[0]} cannot be read as mathematics" if unread else "no checker could tell")


def _value(gold: Node, answer: Node) -> Opinion | None:
    return compare_values(gold, answer, budget=_EVALUATIONS) or compare_algebra(gold, answer)
