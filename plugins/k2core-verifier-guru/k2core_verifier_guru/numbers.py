"""Numbers as tables' answers give them: thousands separators, percent, currencies, scales, units, fractions, accountants' signs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from .wording import plain, unlatex

Outcome = Literal["equal", "different", "undecided"]

_LENGTH = 120
_SCALES = {"hundred": 2, "thousand": 3, "k": 3, "million": 6, "mn": 6, "mm": 6, "m": 6}
_SCALES |= {"billion": 9, "bn": 9, "b": 9, "trillion": 12}
_CURRENCIES = {"$": "usd", "us$": "usd", "dollar": "usd", "€": "eur", "euro": "eur"}
_CURRENCIES |= {"£": "gbp", "pound": "gbp", "¥": "jpy", "yen": "jpy"}
_DIGITS = r"(?:\d{1,3}(?:[, ]\d{3})+(?!\d)|\d+)(?:\.\d*)?(?!\.?\d)|\.\d+"
_NUMBER = rf"(?P<number>{_DIGITS})(?:[eE](?P<power>[-+]?\d{{1,3}}))?"
_POWER_OF_TEN = re.compile(r"(?<=\d)\s?(?:\*|x|\u00d7|\\times|\\cdot)\s?10\s?(?:\^|\*\*)\s?\{?([-+]?\d{1,3})\}?")
_SIGN = r"[-+]?\s?"
_COIN = r"(?:(?:US|us)?[$€£¥])?\s?"
_BEFORE = r"(?:[^\d=:]{0,60}[=:]\s?|(?:approximately|approx\.?|about|around|roughly|≈|=)\s?)?"
_AFTER = r"(?P<rest>[^\d()]{0,60}?)(?P<close>\))?\s?(?:\([^\d()]{1,40}\))?\s?\.?"
_QUANTITY = re.compile(
    rf"{_BEFORE}(?P<outer>{_COIN})(?P<open>\()?\s?(?P<sign>{_SIGN})(?P<coin>{_COIN})(?P<inner>{_SIGN})"
    rf"{_NUMBER}(?:\s?[/:]\s?(?P<under>{_DIGITS}))?\s?(?P<percent>%|percent\b|per cent\b|pct\b)?\s?{_AFTER}"
)
_FRAC = re.compile(r"\\[dtc]?frac\s*\{([^{}]{1,60})\}\s*\{([^{}]{1,60})\}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and what stands around it. `value` is as written; `scaled` counts the scale word."""

    value: Fraction
    whole: bool
    percent: bool = False
    power: int = 0
    """Decimal exponent of the scale word: 6 for million."""
    currency: str = ""
    unit: str = ""

    @property
    def scaled(self) -> Fraction:
        return self.value * Fraction(10**self.power)


@lru_cache(maxsize=1024)
def quantity(text: str) -> Quantity | None:
    """The one number that a text consists of, or None. Linear in the length of the text."""
    text = _tidy(text)
    match = _QUANTITY.fullmatch(text) if len(text) <= _LENGTH else None
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    value = _value(match["number"], match["power"])
    if match["under"]:
        under = _value(match["under"], None)
        if not under:
            return None
        value /= under
    negative = [match["sign"].strip(), match["inner"].strip()].count("-")
    if negative + bool(match["open"]) > 1:
        return None
    scale, currency, unit = _rest(match["rest"])
    return Quantity(
        value=-value if negative or match["open"] else value,
        whole=not match["under"] and not match["power"] and "." not in match["number"],
        percent=bool(match["percent"]),
        power=scale,
        currency=_CURRENCIES.get((match["outer"] or match["coin"]).strip().lower(), currency),
        unit=unit,
    )


def _tidy(text: str) -> str:
    """LaTeX's ways to write numbers, as plain text."""
    if len(text) > 4 * _LENGTH:
        return text
    text = _FRAC.sub(r"\1/\2", text.replace("{,}", ",").replace(r"\!", "").replace(r"\,", ""))
    text = unlatex(_POWER_OF_TEN.sub(r"e\1", text).replace(r"\(", "").replace(r"\)", ""))
    text = text.replace("\u2212", "-").replace("\u2013", "-").replace("\u00a0", " ").strip(" \n\t*`\"'").rstrip(".")
    framed = text[1:-1] if len(text) > 2 and text[0] == text[-1] == "$" else text
    return " ".join(framed.split())


def _value(number: str, power: str | None) -> Fraction:
    return Fraction(number.replace(",", "").replace(" ", "").rstrip(".") + f"e{int(power or 0)}")


def _rest(text: str) -> tuple[int, str, str]:
    """Scale, currency and unit out of the words after a number."""
    words = [word for word in plain(text).replace(".", " ").split() if word not in ("of", "in")]
    power = 0
    if words and words[0].removesuffix("s") in _SCALES:
        power = _SCALES[words.pop(0).removesuffix("s")]
    currency = next((_CURRENCIES.get(word.removesuffix("s"), word) for word in words if _is_currency(word)), "")
    unit = " ".join(word.removesuffix("s") for word in words if not _is_currency(word))
    return power, currency, unit


def _is_currency(word: str) -> bool:
    return word.removesuffix("s") in _CURRENCIES or word in _CURRENCIES.values()


def close(one: Fraction, other: Fraction, tolerance: float) -> bool:
    """Whether two numbers differ by at most `tolerance` of the larger one; zero is close to zero alone."""
    return abs(one - other) <= Fraction(tolerance) * max(abs(one), abs(other))


def compare(gold: Quantity, answer: Quantity, tolerance: float, *, exact_whole: bool = True, any_percent: bool = False) -> Outcome:
    """Whether two quantities are the same, within a relative tolerance.

    Two whole numbers, such as years or counts, must be equal if `exact_whole`. A percentage equals both its number and its
    value; with `any_percent` any number equals its hundredth and its hundredfold, as in Guru's own reward. Where one alone has
    a scale word ("12.5 million" and "12.5"), or their units differ, the pair is undecided.
    """
    if gold.currency and answer.currency and gold.currency != answer.currency:
        return "different"
    factors = [Fraction(1)]
    if gold.percent != answer.percent or any_percent:
        factors += [Fraction(100), Fraction(1, 100)]
    exact = exact_whole and gold.whole and answer.whole and not (gold.power or answer.power)
    allowed = 0.0 if exact else tolerance
    if not any(close(gold.scaled, answer.scaled * factor, allowed) for factor in factors):
        unscaled = gold.power != answer.power and 0 in (gold.power, answer.power)
        return "undecided" if unscaled and close(gold.value, answer.value, allowed) else "different"
    return "undecided" if gold.unit and answer.unit and gold.unit != answer.unit else "equal"
