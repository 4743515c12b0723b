"""Opinions and how those on parts make one on the whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["equal", "different", "undecided"]
Opinion: TypeAlias = tuple[Outcome, str]

EXACT = "exact arithmetic"
INTERVAL = "interval arithmetic"
DIGITS = "agreement to 40 digits"
IDENTITY = "evaluation at random points"
ROUNDED = "rounded to the digits given"
STRUCTURE = "structure"


def equal(reason: str) -> Opinion:
    return "equal", reason


def different(reason: str) -> Opinion:
    return "different", reason


def undecided(reason: str) -> Opinion:
    return "undecided", reason


def every(opinions: Iterable[Opinion | None]) -> Opinion | None:
    """The opinion on a whole whose parts must all be equal. A different part decides, one without opinion leaves it open."""
    weakest, reasons = None, list[str]()
    open_: list[Opinion | None] = []
    for opinion in opinions:
        if opinion is None or opinion[0] == "undecided":
            open_.append(opinion)
        elif opinion[0] == "different":
            return opinion
        else:
            weakest = opinion
            reasons.append(opinion[1])
    if open_:
        return next((opinion for opinion in open_ if opinion is None), open_[0])
    return equal(" and ".join(dict.fromkeys(reasons))) if weakest else equal(STRUCTURE)
