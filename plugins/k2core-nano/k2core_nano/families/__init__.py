"""The families of problems by name."""

from __future__ import annotations

import random

from ..items import LEVELS, REWORDED, Drawn, Family
from ..writing.words import Reworded
from .counting import letters, lists, number_digits
from .fractions import comparison, fractions, parts
from .logic import deduction, ordering, truth_table
from .stories import stories
from .tables import tables
from .units import units
from .whole import addition, chained_sum, division, multiplication, subtraction

__all__ = ["FAMILIES", "draw"]

FAMILIES = {
    family.name: family
    for family in (
        Family("addition", ("addition",), addition, "sums of numbers of two and three digits"),
        Family("subtraction", ("subtraction",), subtraction, "differences of numbers of two and three digits"),
        Family("multiplication", ("multiplication",), multiplication, "products of one by two, one by three and two by two digits"),
        Family("division", ("division",), division, "exact quotients by a digit"),
        Family("chained-sum", ("addition", "subtraction"), chained_sum, "sums and differences of three to five terms"),
        Family("fractions", ("fractions",), fractions, "sums and differences of two fractions"),
        Family(
            "parts",
            ("fractions", "percentages"),
            parts,
            "a fraction or percentage of a number, terms of a fraction in lowest terms",
        ),
        Family("comparison", ("comparison", "decimals"), comparison, "the largest or smallest of several numbers"),
        Family("units", ("units",), units, "conversions of time, length, weight, volume and money"),
        Family("stories", ("word problems",), stories, "word problems of one to three steps"),
        Family("letters", ("counting",), letters, "how often a letter occurs in a word"),
        Family("digits", ("counting", "digits"), number_digits, "how many digits of a number are of a kind"),
        Family("lists", ("counting",), lists, "how many entries of a list there are, or are of a kind"),
        Family("ordering", ("logic", "ordering"), ordering, "who is first, last or second, from comparisons of neighbours"),
        Family("truth-table", ("logic",), truth_table, "how many rows of a truth table are true or false"),
        Family("deduction", ("logic",), deduction, "true, false or unknown, from statements about all and none"),
        Family("tables", ("tables",), tables, "a sum, difference, extreme or product from a small table"),
    )
}


def draw(family: str, level: int, seed: int, index: int, turn: int | None = None) -> Drawn:
    """Item `index` of a family at a level: the same in every process. Raises `ValueError` for an unknown family or level.

    `turn`: its number among those of its level, where levels take turns; level 4 is as hard as 1 and 2 by turns.
    """
    if family not in FAMILIES:
        raise ValueError(f"there is no family {family!r}; there are: {', '.join(FAMILIES)}")
    if level not in LEVELS:
        raise ValueError(f"there is no level {level}; there are: {', '.join(map(str, LEVELS))}")
    name = f"k2-nano {family} {level} {seed} {index}"
    if level == REWORDED:
        return FAMILIES[family].draw(Reworded(name), 1 + (index if turn is None else turn) % 2)
    return FAMILIES[family].draw(random.Random(name), level)
