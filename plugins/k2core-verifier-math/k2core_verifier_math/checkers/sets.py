"""Sets of real numbers: intervals, unions, solutions of inequalities, and sets given by a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cmp_to_key
from typing import TypeAlias

from ..reading.names import UNION
from ..reading.nodes import Add, Bracket, Builder, Const, Items, Node, Num, Rel, SetOp, Sym, negative, symbols
from . import numeric
from .normal import rational, substitute
from .opinions import STRUCTURE, Opinion, different, every
from .values import infinity
from .whole import NoValue

Same: TypeAlias = Callable[[Node, Node], Opinion | None]

_FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤", "≠": "≠", "=": "="}
_ALL, _NOTHING = Const("R"), Const("empty")
_FARTHEST = 4000
"""Bits before or after the point of an end that is put in order."""
_MINUS_INF = negative(Const("inf"))


class NoSet(Exception):
    """Not a set of real numbers that is worked out here."""


@dataclass(frozen=True, slots=True)
class Interval:
    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


def set_like(node: Node) -> bool:
    """Whether a record is a set by its notation alone."""
    if isinstance(node, Items):
        return bool(node.items) and all(set_like(item) and isinstance(item, Rel) for item in node.items)
    if isinstance(node, Rel):
        return any(op in "<>≤≥≠" for op in node.ops) or (node.ops == ("∈",) and not isinstance(node.sides[0], Bracket))
    return isinstance(node, SetOp | Builder) or (isinstance(node, Const) and node.name in ("R", "empty"))


def compare_sets(gold: Node, answer: Node, same: Same) -> Opinion | None:
    """The opinion on two sets of real numbers; None where one of them is not worked out here."""
    try:
        a, b = real_set(gold), real_set(answer)
    except NoSet:
        return None
    if len(a) != len(b):
        return different(STRUCTURE)
    if any((one.low_closed, one.high_closed) != (other.low_closed, other.high_closed) for one, other in zip(a, b, strict=True)):
        return different("open and closed ends")
    return every(same(x, y) for one, other in zip(a, b, strict=True) for x, y in ((one.low, other.low), (one.high, other.high)))


def real_set(node: Node) -> list[Interval]:
    """Disjoint intervals in ascending order. Raises `NoSet`."""
    match node:
        case Bracket(opening, closing, (low, high)) if opening in "([" and closing in ")]":
            return [Interval(low, high, opening == "[", closing == "]")]
        case Const("R"):
            return [Interval(_MINUS_INF, Const("inf"), False, False)]
        case Const("empty"):
            return []
        case Items("set", items):
            return merged([Interval(item, item, True, True) for item in items])
        case Items("list", items):
            return _listed(items)
        case SetOp(op, parts):
            return _joined(op, [real_set(part) for part in parts])
        case Rel():
            return _solved(node)
        case Builder(Sym(name), conditions):
            return intersection([real_set(part) for part in conditions if not _any_real(part, name)] or [real_set(_ALL)])
        case Builder(Rel(("∈",), (Sym(name), domain)), conditions):
            return intersection([real_set(domain), *(real_set(part) for part in conditions)])
    raise NoSet


def _any_real(part: Node, name: str) -> bool:
    return part == Rel(("∈",), (Sym(name), _ALL))


def _listed(items: tuple[Node, ...]) -> list[Interval]:
    """Conditions side by side: both hold if that is possible (x > 1, x < 2), else either (x < 1, x > 2)."""
    if not any(isinstance(item, Rel) for item in items):
        return merged([Interval(item, item, True, True) for item in items])
    sets = [real_set(item) for item in items]
    return intersection(sets) or merged([interval for one in sets for interval in one])


def _joined(op: str, sets: list[list[Interval]]) -> list[Interval]:
    if op == UNION:
        return merged([interval for one in sets for interval in one])
    if op == "∩":
        return intersection(sets)
    return intersection([sets[0], *(complement(one) for one in sets[1:])])


def _solved(relation: Rel) -> list[Interval]:
    """The solutions of a chain of inequalities in one symbol that stands alone or occurs linearly."""
    if relation.ops == ("∈",):
        return real_set(relation.sides[1])
    names = symbols(relation)
    found: list[list[Interval]] = []
    for op, left, right in zip(relation.ops, relation.sides, relation.sides[1:], strict=False):
        if isinstance(right, Sym) and right.name not in symbols(left):
            found.append(_half_line(_FLIPPED.get(op, op), left))
        elif isinstance(left, Sym) and left.name not in symbols(right):
            found.append(_half_line(op, right))
        elif len(names) == 1:
            found.append(_linear(op, left, right, next(iter(names))))
        else:
            raise NoSet
    variables = {side.name for side in relation.sides if isinstance(side, Sym)}
    if len(variables) > 1:
        raise NoSet
    return intersection(found)


def _half_line(op: str, end: Node) -> list[Interval]:
    if op in ("<", "≤"):
        return [Interval(_MINUS_INF, end, False, op == "≤")]
    if op in (">", "≥"):
        return [Interval(end, Const("inf"), op == "≥", False)]
    if op == "≠":
        return [Interval(_MINUS_INF, end, False, False), Interval(end, Const("inf"), False, False)]
    if op == "=":
        return [Interval(end, end, True, True)]
    raise NoSet


def _linear(op: str, left: Node, right: Node, name: str) -> list[Interval]:
    difference = Add((left, negative(right)))
    at = [rational(substitute(difference, {name: Num(Fraction(value))})) for value in (0, 1, 2, 5)]
    if at[0] is None or at[1] is None or at[2] is None or at[3] is None:
        raise NoSet
    slope = at[1] - at[0]
    if slope == 0 or at[2] - at[1] != slope or at[3] - at[2] != 3 * slope:
        raise NoSet
    return _half_line(op if slope > 0 else _FLIPPED.get(op, op), Num(-at[0] / slope))


def position(node: Node) -> Fraction:
    """Where an end is, to the precision of a double and better; infinities are very far away."""
    if sign := infinity(node):
        return Fraction(10) ** 400 * sign
    exact = rational(node)
    if exact is not None:
        return exact
    try:
        found = numeric.value(node)
    except NoValue as error:
        raise NoSet from error
    if numeric.points().im(found) != 0:
        raise NoSet
    if abs(numeric.points().mag(found) if found else 0) > _FARTHEST:
        raise NoSet
    return Fraction(str(numeric.points().nstr(found.real, 40, min_fixed=0, max_fixed=0)))


def _before(a: Interval, b: Interval) -> int:
    first, second = position(a.low), position(b.low)
    return -1 if first < second else int(first > second) or int(b.low_closed) - int(a.low_closed)


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The union, as disjoint intervals in ascending order."""
    listed = [one for one in intervals]
    if len(listed) > 40:
        raise NoSet
    if len(listed) <= 1:
        return listed
    found: list[Interval] = []
    for one in sorted((one for one in listed if not _empty(one)), key=cmp_to_key(_before)):
        if found and _touch(found[-1], one):
            found[-1] = _hull(found[-1], one)
        else:
            found.append(one)
    return found


def _empty(one: Interval) -> bool:
    low, high = position(one.low), position(one.high)
    return low > high or (low == high and not (one.low_closed and one.high_closed))


def _touch(a: Interval, b: Interval) -> bool:
    end, start = position(a.high), position(b.low)
    return start < end or (start == end and (a.high_closed or b.low_closed))


def _hull(a: Interval, b: Interval) -> Interval:
    ends = position(a.high), position(b.high)
    if ends[0] == ends[1]:
        return Interval(a.low, a.high, a.low_closed, a.high_closed or b.high_closed)
    last = a if ends[0] > ends[1] else b
    return Interval(a.low, last.high, a.low_closed, last.high_closed)


def complement(intervals: list[Interval]) -> list[Interval]:
    found: list[Interval] = []
    low, closed = _MINUS_INF, False
    for one in intervals:
        found.append(Interval(low, one.low, closed, not one.low_closed and not infinity(one.low)))
        low, closed = one.high, not one.high_closed and not infinity(one.high)
    found.append(Interval(low, Const("inf"), closed, False))
    return [one for one in found if not _empty(one)]


def intersection(sets: list[list[Interval]]) -> list[Interval]:
    found = sets[0]
    for other in sets[1:]:
        if len(found) * len(other) > 400:
            raise NoSet
        found = merged([both for a in found for b in other if not _empty(both := _both(a, b))])
    return found


def _both(a: Interval, b: Interval) -> Interval:
    lows, highs = (position(a.low), position(b.low)), (position(a.high), position(b.high))
    low = a if lows[0] > lows[1] or (lows[0] == lows[1] and not a.low_closed) else b
    high = a if highs[0] < highs[1] or (highs[0] == highs[1] and not a.high_closed) else b
    return Interval(low.low, high.high, low.low_closed, high.high_closed)
