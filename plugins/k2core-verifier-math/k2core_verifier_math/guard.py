"""What is not worth asking a worker: answers whose evaluation would take ages or gigabytes. Only a first sieve; limits on
time and memory hold whatever passes."""

from __future__ import annotations

import re

_DEPTH = 40
_DOLLARS = 20
_EXPONENT_DIGITS = 5
_FACTORIAL = 5000
_NUMBERS = 20
_LONG_NUMBER = re.compile(r"\d{400}")
_POWER = re.compile(r"(?:\^|\*\*)\s*(\{)?")
_NESTED_FACTORIAL = re.compile(r"!\s*[)}\]]*\s*!")
_BIG_FACTORIAL = re.compile(r"(\d+)\s*[)}\]]*\s*!|(?:[Ff]actorial|\\Gamma)\s*[({]\s*(\d+)")
_GROUP_FACTORIAL = re.compile(r"\^[^!^]{0,40}[)}]\s*!")
_LONG_E = re.compile(r"\d[eE][-+]?\d{4,}")
_E = re.compile(r"\d[eE][-+]?\d")
_ROOT = re.compile(r"\\sqrt\s*\[[^\]]{0,40}\d{4,}")
_PRODUCT = re.compile(r"\\prod\b.{0,80}?\^\s*\{?\s*\d{4,}")
_EXPONENTIALS = re.compile(r"(?:\\exp|e\s*\^)(?:[\s({]|\\left)*(?:\\exp|e\s*\^)(?:[\s({]|\\left)*(?:\\exp|e\s*\^)")
_NESTED_POWERS = re.compile(r"\d[)}\s]*(?:\^|\*\*)[\s({]*\d+[)}\s]*(?:\^|\*\*)")
_BINOMIAL = re.compile(r"\\[dt]?binom|\\choose|\bC\(")
_BINOMIAL_OF_POWER = re.compile(r"\\[dt]?binom\s*\{[^{}]*\^|\^\s*\{?\d+\}?\s*\\choose|\bC\([^)]*\^")
_OPEN, _CLOSE = "([{", ")]}"


def too_hard(text: str, max_length: int) -> str | None:
    """Why this answer is not evaluated, or None. `max_length` in characters."""
    if len(text) > max_length:
        return f"longer than {max_length} characters"
    if _depth(text) > _DEPTH:
        return f"nested more than {_DEPTH} deep"
    if text.count("$") > _DOLLARS:
        return f"more than {_DOLLARS} dollar signs"
    if _LONG_NUMBER.search(text):
        return "a number of 400 digits or more"
    if _LONG_E.search(text) or len(_E.findall(text)) > _NUMBERS:
        return "a power of ten with a long exponent, or too many of them"
    if _ROOT.search(text) or _PRODUCT.search(text) or _EXPONENTIALS.search(text):
        return "a root, a product or a tower of exponentials out of bounds"
    return _factorials(text) or _powers(text)


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in _OPEN) - (char in _CLOSE)
        deepest = max(deepest, depth)
    return deepest


def _factorials(text: str) -> str | None:
    if _NESTED_FACTORIAL.search(text) or _GROUP_FACTORIAL.search(text):
        return "a factorial of a factorial or of a power"
    for match in _BIG_FACTORIAL.finditer(text):
        if int((match.group(1) or match.group(2))[-9:]) > _FACTORIAL or len(match.group(1) or match.group(2)) > 9:
            return f"a factorial above {_FACTORIAL}"
    if _BINOMIAL_OF_POWER.search(text) or (_BINOMIAL.search(text) and re.search(r"\d{6}", text)):
        return "a binomial coefficient of a large number"
    return None


def _powers(text: str) -> str | None:
    for match in _POWER.finditer(text):
        exponent = _exponent(text, match.end(), braced=match.group(1) is not None)
        if re.search(rf"\d{{{_EXPONENT_DIGITS},}}", exponent):
            return f"an exponent or bound of {_EXPONENT_DIGITS} digits or more"
        if _tower(exponent):
            return "a tower of powers"
    return None


def _exponent(text: str, start: int, *, braced: bool) -> str:
    """The text of the exponent at `start`: the group, or a token with the powers chained to it."""
    if not braced:
        found = re.compile(r"\s*\(?[-+]?[\w.!]*\)?(?:\s*(?:\^|\*\*)\s*[({]*[-+\w.]+[)}]*)*").match(text, start)
        return found.group() if found else ""
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[start:place]
    return text[start:]


def _tower(exponent: str) -> bool:
    """An exponent that is itself a power of numbers and larger than 10,000; `2^{2^3}` passes."""
    for base, inner in re.findall(r"(\d+)\s*[)}]*\s*(?:\^|\*\*)\s*[({]*\s*(-?\d+)", exponent):
        if len(inner) > 3 or (int(inner) > 0 and int(inner) * len(base) > 4 and int(base) ** int(inner) > 10_000):
            return True
    if _NESTED_POWERS.search(exponent) or ("!" in exponent and "^" in exponent):
        return True
    return exponent.count("^") + exponent.count("**") > 2
