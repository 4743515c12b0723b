"""Logic: orderings, truth tables, deductions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

from ..items import Drawn, numbered
from ..writing.words import MADE_UP, NAMES, distinct, some

_MORE = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
)


def ordering(draw: Random, level: int) -> Drawn:
    """Neighbours of a chain, in any order and direction; who is first, last, or second."""
    names = distinct(draw, NAMES, level + 2)
    more, less, most, least = draw.choice(_MORE)
    pairs = list(itertools.pairwise(names))
    draw.shuffle(pairs)
    facts = [f"{a} is {more} than {b}." if draw.random() < 0.5 else f"{b} is {less} than {a}." for a, b in pairs]
    place, word = draw.choice([(0, most), (-1, least), (1, f"second {most}")] if level > 1 else [(0, most), (-1, least)])
    asked = some(draw, f"Who is the {word}?", f"Which of them is the {word}?", f"Who of the {len(names)} is the {word}?")
    lines = [*(f"{a}>{b}" for a, b in pairs), ">".join(names)]
    plan = numbered(f"Write each fact with the {more} first.", "Join them to one chain.", f"Read off the {word}.")
    text = " ".join(facts)
    return Drawn(f"{text} {asked}", names[place], tuple(lines), plan, f"{text} {word}")


_OPERATIONS: dict[str, Callable[[bool, bool], bool]] = {
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "xor": lambda a, b: a != b,
    "implies": lambda a, b: not a or b,
}


def truth_table(draw: Random, level: int) -> Drawn:
    """How many rows of a formula's truth table are true or false: two operations, on level 3 of three letters."""
    letters = draw.choice(("AB", "PQ", "XY", "ST", "MN")) if level < 3 else draw.choice(("ABC", "PQR", "XYZ", "STU"))
    places = [0, 1]
    draw.shuffle(places)
    places = draw.sample(range(3), 3) if level == 3 else [*places, draw.randint(0, 1)]
    negated = [draw.random() < 0.35 for _ in places]
    inner, outer = (draw.choice(("and", "or", "xor", "implies") if level > 1 else ("and", "or")) for _ in range(2))
    words = [f"not {letters[p]}" if no else letters[p] for p, no in zip(places, negated, strict=True)]
    formula = f"({words[0]} {inner} {words[1]}) {outer} {words[2]}"
    lines, true = [], 0
    for row in itertools.product((True, False), repeat=len(letters)):
        x, y, z = (row[p] != no for p, no in zip(places, negated, strict=True))
        middle = _OPERATIONS[inner](x, y)
        result = _OPERATIONS[outer](middle, z)
        true += result
        lines.append(f"{_bits(*row)}:{_bits(x, y, middle)}:{_bits(z, result)}")
    wanted = draw.choice(("true", "false"))
    asked = some(
        draw,
        f"In how many rows of its truth table is {formula} {wanted}?",
        f"How many rows of the truth table of {formula} are {wanted}?",
        f"{letters[0]} to {letters[-1]} can be true or false. In how many of the {2 ** len(letters)} cases is {formula} {wanted}?",
        f"For how many assignments of {', '.join(letters)} is {formula} {wanted}?",
    )
    plan = numbered("Go through all rows.", "Find the bracket, then the whole.", f"Count the rows that are {wanted}.")
    count = true if wanted == "true" else len(lines) - true
    return Drawn(asked, str(count), tuple(lines), plan, f"{formula} {wanted}")


def _bits(*values: bool) -> str:
    return "".join("1" if value else "0" for value in values)


def deduction(draw: Random, level: int) -> Drawn:
    """From `all` and `no` over made-up kinds: true, false or unknown, each a third of the time; half of all have a `no`."""
    kinds = distinct(draw, MADE_UP, level + 2)
    name, answer = draw.choice(NAMES), draw.choice(("true", "false", "unknown"))
    negative = answer == "false" or draw.random() < 0.5
    facts = [f"All {a}s are {b}s." for a, b in itertools.pairwise(kinds)]
    if negative:
        facts[-1] = f"No {kinds[-2]}s are {kinds[-1]}s."
    last = len(kinds) - 2 if negative and answer != "false" else len(kinds) - 1
    # what is a `last` kind of a chain that ends with a `no` is not of the kind before, so that would not be unknown
    start = draw.randint(1, last) if answer == "unknown" else 0
    asked_of = kinds[start - 1] if answer == "unknown" else kinds[last]
    draw.shuffle(facts)
    text = f"{' '.join(facts)} {name} is a {kinds[start]}."
    asked = some(
        draw, f"{name} is a {asked_of}: true, false or unknown?", f"Is it true, false or unknown that {name} is a {asked_of}?"
    )
    chain = [name, *kinds[start : last + 1]]
    if answer == "false":
        chain[-1] = f"not {chain[-1]}"
    if answer == "unknown":
        chain.append(f"{asked_of} unknown")
    plan = numbered(f"Start with what {name} is.", "Follow the facts forward.", "Compare with the question.")
    return Drawn(f"{text} {asked}", answer, (", ".join(chain),), plan, f"{text} {asked_of}")
