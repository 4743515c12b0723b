"""Is this the same mathematics? Runs in a worker process only: it parses with `latex2sympy` and evaluates with SymPy.

math-verify decides, and a numeric evaluation at 30 digits is the second opinion. Where the two contradict each other the
answer is `undecided`: among the pairs that math-verify 0.9 takes for equal are 1/2004! and 1/2006!, 1/2^99 and 1/2^98.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import sympy  # type: ignore[import-untyped]  # ships no types
from math_verify import LatexExtractionConfig, parse, verify  # type: ignore[import-untyped]  # ships no types

Outcome: TypeAlias = Literal["equal", "different", "undecided"]
Opinion: TypeAlias = tuple[Outcome, str]

_DIGITS = 30
_EXACT = sympy.Float("1e-12")
_ROUNDED = sympy.Float("1e-5")
"""Relative tolerances: between exact expressions, and where a decimal fraction stands for a value."""

_POINTS = ("0.7351", "1.8243", "2.4159", "0.3127", "3.1873", "1.2791", "2.8517")
"""Where free symbols are evaluated: positive, so that roots and logarithms are real, and of no special meaning."""

_ELLIPSIS = re.compile(r"\\[lc]?dots\b|\.\.\.|…")
_E_NOTATION = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([-+]?\d{1,4})(?!\w)")
_PERCENT = re.compile(r"%|percent|\bpct\b")


def compare(gold: str, answer: str, *, symmetric: bool = False) -> Opinion:
    """Compare two answers in LaTeX or plain notation; `symmetric` tries both directions, for votes.

    Raises `MemoryError` and `RecursionError`; time is bounded by whoever started the process.
    """
    left, right = _parse(gold), _parse(answer)
    if left is None or right is None:
        which = "the reference" if left is None else "the answer"
        return "undecided", f"{which} cannot be read as mathematics"
    percent = bool(_PERCENT.search(gold + answer))
    numeric = _numeric(left, right, percent=percent)
    if numeric is False and not percent and _comparable(left, right):
        return "different", "numeric evaluation"
    equal = _verify(left, right) or (symmetric and _verify(right, left))
    if not equal:
        return _rejected(left, right, numeric, percent)
    if isinstance(left, sympy.Eq) != isinstance(right, sympy.Eq) and (_homogeneous(left) or _homogeneous(right)):
        return "undecided", "an equation is compared with a value"
    if numeric is False:
        return "undecided", "math-verify takes them for equal, their values differ"
    if _ELLIPSIS.search(gold + answer):
        return "undecided", "equal only as far as math-verify reads an ellipsis"
    return "equal", "math-verify" if numeric is None else "math-verify and numeric evaluation"


def _homogeneous(value: Any) -> bool:
    """An equation like x^2 - 4 = 0, whose right side is not the answer; that of x + y = 5 may be."""
    return isinstance(value, sympy.Eq) and value.rhs == 0 and isinstance(value.lhs, sympy.Add) and bool(value.lhs.free_symbols)


def _comparable(left: Any, right: Any) -> bool:
    """Exact expressions in the same symbols: different values anywhere settle it, without the cost of a simplification."""
    pair = _side(left), _side(right)
    exact = all(isinstance(side, sympy.Expr) and not side.has(sympy.Float) for side in pair)
    return exact and pair[0].free_symbols == pair[1].free_symbols


def _rejected(left: Any, right: Any, numeric: bool | None, percent: bool) -> Opinion:
    """math-verify sees no equality, which is no proof: it may not have found the transformation."""
    if not numeric:
        return "different", "math-verify" if numeric is None else "math-verify and numeric evaluation"
    left, right = _side(_rational(left)), _side(_rational(right))
    if not (isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr)):
        return "different", "math-verify"
    if all(_numeric(left, right, percent=percent, sign=sign) for sign in (1, -1)):
        return "equal", "numeric evaluation to 30 digits; math-verify found no proof"
    return "undecided", "math-verify takes them for different, their values agree where they were evaluated"


def _rational(value: Any) -> Any:
    """With every decimal fraction taken at its word, so that 0.5 is 1/2 and 3.14 is not pi."""
    return value.replace(lambda part: isinstance(part, sympy.Float), lambda part: sympy.Rational(str(part)))


@lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """The SymPy object, or None. LaTeX only: the plain-expression reader takes any number it finds inside the text."""
    text = _E_NOTATION.sub(r"\1 \\times 10^{\2}", text)
    framed = text if any(mark in text for mark in ("$", r"\(", r"\[", r"\boxed")) else f"${text}$"
    found = parse(framed, extraction_config=[LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if found else None


def _verify(gold: Any, answer: Any) -> bool:
    return bool(verify(gold, answer, timeout_seconds=None, allow_set_relation_comp=True))


def _numeric(left: Any, right: Any, *, percent: bool, sign: int = 1) -> bool | None:
    """Whether the values agree; None where values say nothing: sets, matrices, chains of relations, unknown functions.

    `sign` is that of the points at which free symbols are evaluated: |x| and x are told apart below zero only.
    """
    try:
        if isinstance(left, sympy.Eq) and isinstance(right, sympy.Eq):
            return _same_equation(left, right)
        left, right = _side(left), _side(right)
        pair = _elements(left), _elements(right)
        if pair[0] is not None and pair[1] is not None:
            return _all(pair[0], pair[1], percent, sign)
        if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
            return _same_value(left, right, percent, sign)
    except (TypeError, ValueError, AttributeError, NotImplementedError, ArithmeticError):
        return None
    return None


def _side(value: Any) -> Any:
    return value.rhs if isinstance(value, sympy.Eq) else value


def _elements(value: Any) -> Sequence[Any] | None:
    if isinstance(value, sympy.Tuple):
        return list(value.args)
    return [value.start, value.end] if isinstance(value, sympy.Interval) else None


def _all(left: Sequence[Any], right: Sequence[Any], percent: bool, sign: int) -> bool | None:
    if len(left) != len(right):
        return False
    results = [_numeric(a, b, percent=percent, sign=sign) for a, b in zip(left, right, strict=True)]
    return False if False in results else None if None in results else True


def _same_value(left: sympy.Expr, right: sympy.Expr, percent: bool, sign: int) -> bool | None:
    tolerance = _ROUNDED if left.has(sympy.Float) or right.has(sympy.Float) else _EXACT
    for point in _assignments(left, right, sign=sign):
        a, b = _value(left, point), _value(right, point)
        if a is None or b is None:
            return None
        factors = (1, 100, sympy.Rational(1, 100)) if percent else (1,)
        results = [_close(a * factor, b, tolerance) for factor in factors]
        if True not in results:
            return None if None in results else False
    return True


def _assignments(*values: sympy.Basic, sign: int = 1) -> list[dict[Any, Any]]:
    """Three assignments of the free symbols to points; a single empty one for constants."""
    symbols = sorted(set().union(*(value.free_symbols for value in values)), key=str)
    return [
        {symbol: sign * _point(place + 2 * turn) for place, symbol in enumerate(symbols)} for turn in range(3 if symbols else 1)
    ]


def _point(place: int) -> sympy.Rational:
    return sympy.Rational(_POINTS[place % len(_POINTS)]) + place // len(_POINTS)


def _value(expression: sympy.Expr, point: dict[Any, Any]) -> Any:
    value = expression.subs(point).doit().evalf(_DIGITS)
    return value if value.is_number and value.is_finite else None


def _close(a: Any, b: Any, tolerance: Any) -> bool | None:
    """Relative closeness; None when one value is so near to zero that digits may have cancelled."""
    size = max(abs(a), abs(b))
    if size == 0 or abs(a - b) <= tolerance * size:
        return True
    return None if min(abs(a), abs(b)) == 0 and size < sympy.Float("1e-20") else False


def _same_equation(left: sympy.Eq, right: sympy.Eq) -> bool | None:
    """Two equations with the same zeros up to a constant factor; None when no factor is found: they may still agree."""
    sides = [equation.lhs - equation.rhs for equation in (left, right)]
    if sides[0].free_symbols != sides[1].free_symbols:
        return None
    ratios = []
    for point in _assignments(*sides):
        a, b = (_value(side, point) for side in sides)
        if a is None or b is None or b == 0:
            return None
        ratios.append(a / b)
    return all(_close(ratios[0], ratio, _ROUNDED) for ratio in ratios[1:]) or None
