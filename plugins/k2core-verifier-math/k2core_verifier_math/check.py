"""One comparison from the cheapest checker to the strongest: our own in this process, within strict limits, then a worker."""

from __future__ import annotations

from .extract import letter
from .guard import too_hard
from .pool import Opinion, Pool
from .reading.text import tidy


async def check(pool: Pool, gold: str, answer: str, *, max_length: int, as_text: bool = False, symmetric: bool = False) -> Opinion:
    """Whether two answers are the same. `as_text`: only as text, as for names or code."""
    if as_text:
        return wording(gold, answer)
    if opinion := quick(gold, answer):
        return opinion
    for name, text in (("the reference", gold), ("the answer", answer)):
        if why := too_hard(text, max_length):
            return "undecided", f"{name} was not evaluated: {why}"
    return await pool.compare(gold, answer, symmetric=symmetric)


def quick(gold: str, answer: str) -> Opinion | None:
    """The opinion of our own checkers on what they read and evaluate in about a millisecond; None for everything else."""
    from .checkers import in_process  # not needed to import the plugin

    return in_process.quick(gold, answer)


def wording(gold: str, answer: str) -> Opinion:
    """Equal but for case and white space."""
    same = " ".join(tidy(gold).casefold().split()) == " ".join(tidy(answer).casefold().split())
    return ("equal" if same else "different"), "compared as text"


def letters(gold: str, answer: str) -> Opinion:
    """Compare choices by their letter; a reference without a letter is compared as text."""
    named = letter(gold)
    return wording(gold, answer) if named is None else (("equal" if named == answer else "different"), "choice letter")
