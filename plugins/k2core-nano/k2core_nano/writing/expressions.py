"""Little sums of products, worked out line by line: what word problems come down to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

from .arithmetic import product_lines, quotient_lines, running_lines

_TERM = re.compile(r"([+-]?)([^+-]+)")


class Unfit(ValueError):
    """The numbers do not fit: a total would be negative or broken."""


def work_out(expression: str, numbers: Mapping[str, int]) -> tuple[list[str], int]:
    """The lines and the value of stages such as `a*b+c;_/d`, from left to right; `_` is the value of the stage before.

    A stage is a sum of terms, a term a chain of products and quotients. Raises `Unfit` where a quotient is no whole number or a
    total is below one.
    """
    lines: list[str] = []
    value = 0
    for stage in expression.split(";"):
        known = {**numbers, "_": value}
        terms = [(sign, _term(term, known, lines)) for sign, term in _TERM.findall(stage)]
        changes = [-size if sign == "-" else size for sign, size in terms[1:]]
        if min(itertools.accumulate(changes, initial=terms[0][1])) < 1:
            raise Unfit
        more, value = running_lines(terms[0][1], changes)
        lines += more
    return lines, value


def _term(text: str, numbers: Mapping[str, int], lines: list[str]) -> int:
    """A product or quotient, whose lines are added."""
    first, *rest = re.split(r"([*/])", text)
    value = _number(first, numbers)
    for sign, name in zip(rest[::2], rest[1::2], strict=True):
        other = _number(name, numbers)
        if sign == "/":
            if value % other:
                raise Unfit
            lines += quotient_lines(value, other)
            value //= other
        else:
            value, other = max(value, other), min(value, other)
            if other > 99 or (value > 99 and other > 9):
                raise Unfit
            lines += product_lines(value, other)
            value *= other
    return value


def _number(name: str, numbers: Mapping[str, int]) -> int:
    return int(name) if name.isdigit() else numbers[name]
