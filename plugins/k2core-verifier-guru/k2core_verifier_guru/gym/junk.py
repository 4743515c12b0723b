"""Answers that no verifier may accept, and answers that are wrong in all likelihood."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence

NEVER = {
    "nothing": ("", " \n "),
    "prose": ("I do not know the answer to this.", "The answer follows from the above."),
    "noise": ("qzxv jkw ##", "\u2603 \x07 \\frac{{", "a" * 3000),
    "structure": ("[]", "{}", "[[1, 2], [3, 4]]"),
    "question": (),
}
"""By kind; for `question` it is the item's own. A single acceptance of these shows that a family is unsound."""
CONSTANTS = ("0", "1", "-1", "918273645", "yes", "no", "True", "False")
"""Wrong unless the answer happens to be this; each is a kind of its own."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LETTER = re.compile(r"[^\W\d_]")


def never(question: str, gold: str) -> Iterator[tuple[str, str]]:
    """Kind and text of what can never be right."""
    for kind, texts in NEVER.items():
        for text in texts or (question,):
            if not alike(text, gold):
                yield kind, text


def likely(gold: str, others: Sequence[str], draw: random.Random) -> Iterator[tuple[str, str]]:
    """Kind and text of what is wrong but for chance: constants, other items' answers, near misses."""
    for text in CONSTANTS:
        if not alike(text, gold):
            yield f"always {text}", text
    for text in others:
        if not alike(text, gold):
            yield "other", text
    if (near := near_miss(gold, draw)) and not alike(near, gold):
        yield "near miss", near


def hedges(gold: str, others: Sequence[str]) -> tuple[str, str] | None:
    """The right answer and a wrong one, in both orders; None when every other answer is like it."""
    wrong = next((text for text in others if not alike(text, gold)), None)
    return None if wrong is None else (f"{gold} or {wrong}", f"{wrong} or {gold}")


def near_miss(gold: str, draw: random.Random) -> str | None:
    """The answer with one number changed by about a tenth (by 1 if it has one digit), or without numbers, one letter."""
    numbers = [*_NUMBER.finditer(gold)]
    if numbers:
        match = draw.choice(numbers)
        digits = [place for place in range(*match.span()) if gold[place].isdigit()]
        leading = next((at for at, place in enumerate(digits) if gold[place] != "0"), 0)
        place = digits[min(leading + 1, len(digits) - 1)]
        return f"{gold[:place]}{(int(gold[place]) + 1) % 10}{gold[place + 1 :]}"
    letters = [*_LETTER.finditer(gold)]
    if not letters:
        return None
    place = draw.choice(letters).start()
    other = draw.choice([letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter != gold[place].lower()])
    return gold[:place] + (other.upper() if gold[place].isupper() else other) + gold[place + 1 :]


def alike(one: str, other: str) -> bool:
    """The same but for case and outer space, or numbers within a hundredth: too near to the answer to be called wrong."""
    if one.strip().casefold() == other.strip().casefold():
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=0.01, abs_tol=1e-9)
    except ValueError:
        return False
