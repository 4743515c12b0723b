"""The checkers in the order of their cost. Each gives an opinion or passes; the next one is asked only when all before passed."""

from __future__ import annotations

import re

from .exact import canonical, decimal_comma, exact, measure, same_number
from .extract import letter
from .guard import too_hard
from .pool import Opinion, Pool

_CLOCK = re.compile(r"\d\s*(?:\\text\{)?\s*([ap])\.?m\b", re.IGNORECASE)
_MARKED_LETTER = re.compile(r"[\s$]*(?:\\text(?:bf)?\{\s*)?\(([A-J])\)")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[\s'-]+[^\W\d_]+)+|[^\W\d_]{3,}")


async def check(pool: Pool, gold: str, answer: str, *, max_length: int, as_text: bool = False, symmetric: bool = False) -> Opinion:
    """Whether two answers are the same: exact checks first, then a worker. `as_text`: only as text, as for names or code."""
    opinion = quick(gold, answer) or (wording(gold, answer) if as_text else sieve(gold, answer, max_length))
    return opinion or await pool.compare(gold, answer, symmetric=symmetric)


def quick(gold: str, answer: str) -> Opinion | None:
    """Equal in their tidied form, or both plain numbers, compared as exact fractions."""
    a, b = exact(gold), exact(answer)
    if a is not None and b is not None:
        return ("equal" if same_number(a, b) else "different"), "exact arithmetic"
    if canonical(gold) == canonical(answer):
        return "equal", "same text"
    if decimal_comma(gold, answer):
        return "equal", "decimal comma"
    if re.fullmatch("[A-J]", gold.strip("$() ")) and (named := _MARKED_LETTER.match(answer)):
        return ("equal" if named.group(1) == gold.strip("$() ") else "different"), "choice letter"
    return _units(gold, answer)


def _units(gold: str, answer: str) -> Opinion | None:
    """Numbers with units: a missing unit is overlooked, a different one is not converted."""
    times = _CLOCK.search(gold[:100]), _CLOCK.search(answer[:100])
    if times[0] and times[1] and times[0].group(1).lower() != times[1].group(1).lower():
        return "different", "morning and afternoon"
    (a, b), units = (measure(gold), measure(answer)), {text[1] for text in (measure(gold), measure(answer)) if text}
    values = [found[0] if found else exact(text) for found, text in ((a, gold), (b, answer))]
    if not units or values[0] is None or values[1] is None:
        return None
    if len(units) == 2:
        return "undecided", f"the units {' and '.join(sorted(units))} were not converted"
    return ("equal" if same_number(values[0], values[1]) else "different"), "exact arithmetic, the unit aside"


def wording(gold: str, answer: str) -> Opinion:
    """Equal but for case and white space."""
    same = " ".join(canonical(gold).casefold().split()) == " ".join(canonical(answer).casefold().split())
    return ("equal" if same else "different"), "compared as text"


def letters(gold: str, answer: str) -> Opinion:
    """Compare choices by their letter; a reference without a letter is compared as text."""
    named = letter(gold)
    return wording(gold, answer) if named is None else (("equal" if named == answer else "different"), "choice letter")


def sieve(gold: str, answer: str, max_length: int) -> Opinion | None:
    """Opinions on what must not, or need not, reach computer algebra: it would read words as products of letters."""
    for name, text in (("the reference", gold), ("the answer", answer)):
        if why := too_hard(text, max_length):
            return "undecided", f"{name} was not evaluated: {why}"
    if _WORDS.fullmatch(canonical(gold)) and _WORDS.fullmatch(canonical(answer)):
        return "different", "compared as words"
    return None
