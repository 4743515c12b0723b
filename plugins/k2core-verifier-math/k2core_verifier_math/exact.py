"""Answers that need no computer algebra: numbers as exact fractions, everything else as tidied text."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_DIGITS = 300
"""Longest number that is read here; Python refuses strings of more than 4,300 digits."""
_EXPONENT = 300
_TIDIED = 2000

_INT = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)"
_DEC = rf"(?:{_INT}(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(rf"(?P<value>{_DEC})(?:[eE](?P<exp>[-+]?\d{{1,4}}))?")
_SLASH = re.compile(rf"(?:(?P<whole>\d+) )?(?P<top>{_DEC})/(?P<bottom>{_DEC})")
_FRAC = re.compile(rf"(?P<whole>\d*)\\frac(?:\{{(?P<top>-?{_DEC})\}}\{{(?P<bottom>-?{_DEC})\}}|(?P<a>\d)(?P<b>\d))")
_POWER = re.compile(rf"(?P<value>{_DEC})(?:\\times|\\cdot|\u00d7|\*)10\^(?:\{{(?P<exp>[-+]?\d{{1,4}})\}}|(?P<digit>\d))")

_SPACING = re.compile(r"\\[,;:! ]|~|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\q?quad")
_FRACTION = re.compile(r"\\[dtc]frac")
_WORDS = re.compile(r"\\(?:text|textbf|textrm|textit|textnormal|mathrm|mbox)\s*\{([^{}]*)\}")
_UNIT = re.compile(
    r"(?P<number>.*?[\d}])"
    r"(?:(?:\\[,;! ]|~|\s)*\\(?:text|mathrm|rm|textrm|textnormal)\s*\{(?P<boxed>[^{}]*)\}|\s+(?P<bare>[A-Za-z]{2,}))"
)
_BLANK = re.compile(r"(?<![\d])\s+|\s+(?![\d])")
_CURRENCY = re.compile(r"^([-+]?)\\?[$€£¥]\s?([-+]?)(?=[\d.])|(?<=\d)\s?\\?[$€£¥]$")


class Number(NamedTuple):
    value: Fraction
    rounded: bool
    """Written with a decimal point: it may stand for a value that has no finite decimal expansion."""


def tidy(text: str) -> str:
    """One spelling: no math marks, layout commands or needless blanks; `\\dfrac` is `\\frac`; words lose `\\text`."""
    text = text.strip().replace("\u2212", "-").replace("{,}", ",")
    text = _CURRENCY.sub(r"\1\2", text).replace("$", "").replace(r"\(", "").replace(r"\)", "")
    text = _FRACTION.sub(r"\\frac", _SPACING.sub("", text))
    text = _WORDS.sub(r" \1 ", text).strip()
    return _BLANK.sub("", text.rstrip(".").strip() if not text.endswith("..") else text)


def exact(text: str) -> Number | None:
    """The number that a text is, without unit or percent sign; None for anything else."""
    return _exact(text) if len(text) <= _DIGITS else None


@lru_cache(maxsize=4096)
def _exact(text: str) -> Number | None:
    bare = tidy(text)
    sign = -1 if bare.startswith("-") else 1
    bare = bare[1:] if bare[:1] in ("-", "+") else bare
    for pattern in (_PLAIN, _SLASH, _FRAC, _POWER):
        if match := pattern.fullmatch(bare):
            found = _value(match.groupdict())
            return found and Number(sign * found.value, found.rounded)
    return None


def _value(parts: dict[str, str | None]) -> Number | None:
    if decimal := parts.get("value"):
        exponent = int(parts.get("exp") or parts.get("digit") or 0)
        if abs(exponent) > _EXPONENT:
            return None
        return Number(_fraction(decimal) * Fraction(10) ** exponent, "." in decimal)
    top, bottom = parts.get("top") or parts.get("a") or "", parts.get("bottom") or parts.get("b") or ""
    whole = parts.get("whole")
    if not _fraction(bottom) or (whole and (top.startswith("-") or bottom.startswith("-"))):
        return None
    return Number(int(whole or 0) + _fraction(top) / _fraction(bottom), "." in top + bottom)


def _fraction(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def canonical(text: str) -> str:
    """The form under which equal answers vote: the reduced fraction of a number, else the tidied text, words in lower case.

    A text of more than 2,000 characters is its own form.
    """
    return _canonical(text) if len(text) <= _TIDIED else text.strip()


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    number = exact(text)
    if number is not None:
        return str(number.value)
    form = tidy(text)
    return form.casefold() if re.fullmatch(r"[^\W\d_]{2,}(?:[\s'-]*[^\W\d_]+)*", form) else form


def same_number(a: Number, b: Number) -> bool:
    """Equal, or equal to 6 decimals and 5 significant digits where one of them was written as a decimal fraction."""
    if a.value == b.value:
        return True
    if not (a.rounded or b.rounded):
        return False
    gap = abs(a.value - b.value)
    return round(a.value, 6) == round(b.value, 6) and gap * 100_000 <= max(abs(a.value), abs(b.value))


def measure(text: str) -> tuple[Number, str] | None:
    r"""A plain number followed by a unit, in `\text{}` or as a word of two letters or more; None for anything else."""
    match = len(text) <= _DIGITS and _UNIT.fullmatch(text.strip().strip("$").rstrip("."))
    number = exact(match.group("number")) if match else None
    if not match or number is None:
        return None
    return number, " ".join((match.group("boxed") or match.group("bare") or "").casefold().split())


def decimal_comma(a: str, b: str) -> bool:
    """Whether they are the same decimal fraction, one written with a comma and one with a point."""
    if max(len(a), len(b)) > _DIGITS:
        return False
    one, other = sorted((tidy(a), tidy(b)))
    return bool(re.fullmatch(r"[-+]?\d+,\d+", one)) and one.replace(",", ".") == other
