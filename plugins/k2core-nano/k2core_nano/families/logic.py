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
    names = distinct(draw, NAMES, level + 3)
    more, less, most, least = draw.choice(_MORE)
    pairs = list(itertools.pairwise(names))
    draw.shuffle(pairs)
    facts = [f"{a} is {more} than {b}." if draw.random() < 0.5 else f"{b} is {less} than {a}." for a, b in pairs]
    place, word = draw.choice([(0, most), (-1, least), (1, f"second {most}")])
    other = (f"Name the {word} of them.", f"Tell who the {word} is.", f"Of these {len(names)}, find the {word}.")
    asked = some(
        draw, f"Who is the {word}?", f"Which of them is the {word}?", f"Who of the {len(names)} is the {word}?", other=other
    )
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


LETTERS = ("AB", "PQ", "XY", "ST", "MN", "CD", "GH", "KL")


def truth_table(draw: Random, level: int) -> Drawn:
    """How many rows of the truth table of a formula of two letters are true or false; of one operation on level 1, of two above."""
    letters = draw.choice(LETTERS)
    places = [*draw.sample(range(2), 2), draw.randint(0, 1)][: 2 if level == 1 else 3]
    negated = [draw.random() < 0.4 for _ in places]
    names = ("and", "or") if level == 2 else ("and", "or", "xor", "implies")
    operations = [draw.choice(names) for _ in places[1:]]
    words = [f"not {letters[p]}" if no else letters[p] for p, no in zip(places, negated, strict=True)]
    formula = f"{words[0]} {operations[0]} {words[1]}"
    if level > 1:
        formula = f"({formula}) {operations[1]} {words[2]}"
    wanted = draw.choice(("true", "false"))
    lines, count = [f"count {'1' if wanted == 'true' else '0'}"], 0
    for row in itertools.product((True, False), repeat=2):
        result, line = _row([(word, row[p] != no) for word, p, no in zip(words, places, negated, strict=True)], operations)
        hit = result is (wanted == "true")
        count += hit
        named = "".join(f"{letter}{value:d}" for letter, value in zip(letters, row, strict=True))
        lines.append(f"{named} {line} {'y' if hit else 'n'}{count}")
    asked = some(
        draw,
        f"In how many rows of its truth table is {formula} {wanted}?",
        f"How many rows of the truth table of {formula} are {wanted}?",
        f"{letters[0]} and {letters[1]} can be true or false. In how many of the 4 cases is {formula} {wanted}?",
        f"For how many assignments of {letters[0]} and {letters[1]} is {formula} {wanted}?",
        other=(
            f"Write the truth table of {formula} and count the rows that are {wanted}.",
            f"How often is {formula} {wanted}, over all values of {letters[0]} and {letters[1]}?",
            f"Try all values of {letters[0]} and {letters[1]}. How many make {formula} {wanted}?",
        ),
    )
    plan = numbered("Go through all rows.", "Find the parts, then the whole.", f"Count the rows that are {wanted}.")
    return Drawn(asked, str(count), tuple(lines), plan, f"{formula} {wanted}")


def _row(parts: list[tuple[str, bool]], operations: list[str]) -> tuple[bool, str]:
    """The formula with the value of each part and of each operation behind it: `not A0 and B1:0 or B1:1`."""
    (word, result), *others = parts
    line = f"{word}{result:d}"
    for operation, (word, value) in zip(operations, others, strict=True):
        result = _OPERATIONS[operation](result, value)
        line += f" {operation} {word}{value:d}:{result:d}"
    return result, line


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
        draw,
        f"{name} is a {asked_of}: true, false or unknown?",
        f"Is it true, false or unknown that {name} is a {asked_of}?",
        other=(
            f"Is {name} a {asked_of}? Say true, false or unknown.",
            f"Decide whether {name} is a {asked_of}, with true, false or unknown.",
        ),
    )
    chain = [name, *kinds[start : last + 1]]
    if answer == "false":
        chain[-1] = f"not {chain[-1]}"
    if answer == "unknown":
        chain.append(f"{asked_of} unknown")
    plan = numbered(f"Start with what {name} is.", "Follow the facts forward.", "Compare with the question.")
    return Drawn(f"{text} {asked}", answer, (", ".join(chain),), plan, f"{text} {asked_of}")
