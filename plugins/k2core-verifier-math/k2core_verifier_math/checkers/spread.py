"""Functions with steps, corners or integer arguments: exact values at points on both sides of where their pieces meet.

One point at which both are defined and differ is a proof. Agreement at all of them is evidence only, as good as the points: small
and large integers, rationals, and multiples of the constants in the expressions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, TypeAlias

from ..reading.nodes import Add, Big, Call, Const, Mul, Node, Num, Pow, Sym, symbols, walk
from . import numeric
from .normal import rational
from .opinions import Opinion, different, equal, undecided
from .whole import NoValue

REASON = "evaluation at spread-out points"
Point: TypeAlias = dict[str, Fraction]
Exact: TypeAlias = int | Fraction

_STEPS = frozenset("abs floor ceil sgn max min gcd lcm mod factorial binom".split())
_WHOLE = frozenset("jklmnKMN")
"""Symbols that stand for integers by custom."""
_SMALL = (*range(1, 14), 16, 17, 24, 30, 41, 58, 60, 97, 128, 200, 1000, 10_007)
_REST = (0, -1, -2, -3, -4, -7, -20, -101, -1000)
_BROKEN = tuple(Fraction(*pair) for pair in ((1, 40), (1, 7), (1, 3), (3, 5), (4, 3), (5, 2), (17, 4), (61, 8), (307, 3)))
_CONSTANTS, _LARGEST_CONSTANT = 6, 10**6
_WORK, _FEWEST, _MOST = 3500, 12, 72
"""Records to evaluate at all points, and bounds of the number of points."""
_NUMERIC, _ENOUGH = 8, 6
"""Points of integers, and of fractions, with values of 60 digits; and how many agreements make two expressions equal."""
_BITS, _FACTORIAL, _BINOMIAL = 20_000, 300, 400


class Undefined(Exception):
    """No value at this point, or one that is too long."""


class Irrational(Exception):
    """No value in rational arithmetic."""


def stepped(node: Node) -> bool:
    """Whether an expression has steps, corners or integer arguments."""
    return any(
        (isinstance(part, Call) and part.name in _STEPS and bool(symbols(part)))
        or (isinstance(part, Pow) and bool(symbols(part.exponent)) and (rational(part.base) or 0) < 0)
        for part in walk(node)
    )


def cornered(node: Node) -> bool:
    """Whether a root is taken of what may be a square, as in |x| written as a root."""
    for part in walk(node):
        if isinstance(part, Pow) and isinstance(part.base, Add | Pow | Mul) and symbols(part.base):
            power = rational(part.exponent)
            if power is not None and power.denominator != 1:
                return True
    return False


def compare_spread(gold: Node, answer: Node, names: list[str], *, smooth: bool = False) -> Opinion | None:
    """The opinion on two expressions in symbols; `smooth` ones that agree anywhere are told apart by nothing elsewhere."""
    whole = not smooth and set(names) <= _WHOLE
    agreed, below = 0, False
    for point, a, b in _pairs(gold, answer, names):
        if a == b or (not isinstance(a, Exact) and _close(a, b)):
            agreed += 1
            continue
        integers = all(value.denominator == 1 for value in point.values())
        if whole and not integers:
            continue
        below = min(point.values()) < 0
        if not agreed or (integers and not below and not smooth):
            return different(REASON)
        return undecided("they agree at some points and differ at others")
    return equal(REASON) if agreed >= _ENOUGH else None


def fingerprint(node: Node, names: list[str]) -> str | None:
    """The points and the values there, as text; None where too few are defined."""
    found, defined = [], 0
    for point, values in _values([node], names):
        defined += values is not None
        value = "?" if values is None else values[0]
        found.append(f"{sorted(point.items())}{value if isinstance(value, Exact | str) else numeric.points().nstr(value, 25)}")
    return "; ".join(found) if defined >= _ENOUGH else None


def _close(a: Any, b: Any) -> bool:
    return bool(abs(a - b) <= max(abs(a), abs(b)) * 1e-40)


def _pairs(gold: Node, answer: Node, names: list[str]) -> Iterator[tuple[Point, Any, Any]]:
    for point, values in _values([gold, answer], names):
        if values is not None:
            yield point, values[0], values[1]


def _values(nodes: list[Node], names: list[str]) -> Iterator[tuple[Point, list[Any] | None]]:
    """Points with the values there: exact ones, or of 60 digits at some of the others; None where one is not defined and real."""
    size = sum(len(walk(node)) for node in nodes)
    chosen = points(names, nodes, max(_FEWEST, min(_MOST, _WORK // size)))
    left = list[Point]()
    for point in chosen:
        try:
            yield point, [exact(node, point) for node in nodes]
        except Undefined:
            yield point, None
        except Irrational:
            left.append(point)
    whole = [point for point in left if all(value.denominator == 1 for value in point.values())]
    for point in _spaced(whole, _NUMERIC) + _spaced([point for point in left if point not in whole], _NUMERIC):
        yield point, _numeric(nodes, point)


def _numeric(nodes: list[Node], point: Point) -> list[Any] | None:
    try:
        found, drowned = numeric.values(nodes, point)
    except NoValue:
        return None
    if drowned and (len(nodes) == 1 or _close(*found)):
        return None
    imaginary = any(part == Const("i") for node in nodes for part in walk(node))
    return found if imaginary or all(numeric.points().im(value) == 0 for value in found) else None


def points(names: list[str], nodes: list[Node], count: int) -> list[Point]:
    """About `count` points: positive integers, then others, then fractions; the same ones for the same names and constants."""
    constants = _constants(nodes)
    near = [around for c in constants for around in (c, c + 1, c - 1, round(c * 0.7), round(c * 1.3), 10 * c) if around > 0]
    positive = list(dict.fromkeys([*_SMALL, *near]))
    rest = [*_REST, *(-value for c in constants for value in (round(c * 0.7), round(c * 1.3)))]
    broken = [
        *_BROKEN,
        *(c * Fraction(7 + 6 * turn, 10) for c in constants for turn in (0, 1)),
        *(-value for value in _BROKEN[2:6]),
    ]
    pools: list[list[Any]] = [positive, [*positive, *rest], [*positive, *broken]]
    if len(names) == 1:
        pools = [positive, rest, broken]
    found = []
    for pool, share in zip(pools, (6, 2, 2), strict=True):
        size = len(pool) if len(names) == 1 else max(3, count * share // 10)
        found += _spaced([_point(names, pool, turn) for turn in range(size)], max(3, count * share // 10))
    return found


def _spaced(listed: list[Point], most: int) -> list[Point]:
    step = max(1.0, len(listed) / most)
    return [listed[int(place * step)] for place in range(min(most, len(listed)))]


def _point(names: list[str], pool: list[Any], turn: int) -> Point:
    """One symbol takes the whole pool in turn; several take from it at places that have nothing to do with each other."""
    if len(names) == 1:
        return {names[0]: Fraction(pool[turn])}
    state = turn * 0x9E3779B97F4A7C15 + 1
    point = {}
    for name in names:
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        point[name] = Fraction(pool[(state >> 33) % len(pool)])
    return point


def _constants(nodes: list[Node]) -> list[int]:
    """The integers near the constants in expressions, the largest first; small ones are among the points anyway."""
    found = {math.ceil(abs(part.value)) for node in nodes for part in walk(node) if isinstance(part, Num)}
    return sorted((c for c in found if 2 < c <= _LARGEST_CONSTANT), reverse=True)[:_CONSTANTS]


def exact(node: Node, point: Point) -> Exact:
    """The rational value at a point. Raises `Undefined` or `Irrational`."""
    match node:
        case Num(value):
            return value.numerator if value.denominator == 1 else value
        case Sym(name) if name in point:
            value = point[name]
            return value.numerator if value.denominator == 1 else value
        case Add(terms):
            total: Exact = 0
            for term in terms:
                total = total + exact(term, point)
            return total
        case Mul(factors):
            found: Exact = 1
            for factor in factors:
                found = found * exact(factor, point)
            return found
        case Pow(base, exponent):
            return _power(exact(base, point), exact(exponent, point))
        case Call(name, args) if name in _STEPS:
            return _call(name, [exact(arg, point) for arg in args])
        case Const() | Call() | Big():
            raise Irrational
    raise Undefined


def _power(base: Exact, exponent: Exact) -> Exact:
    if exponent.denominator == 2 and base >= 0:
        base = Fraction(base)
        roots = math.isqrt(base.numerator), math.isqrt(base.denominator)
        if (roots[0] ** 2, roots[1] ** 2) != (base.numerator, base.denominator):
            raise Irrational
        base, exponent = Fraction(*roots), exponent.numerator
    if exponent.denominator != 1:
        raise Irrational
    if base in (0, 1, -1):
        if base == 0 and exponent <= 0:
            raise Undefined
        return base if base != -1 or exponent % 2 else 1
    if abs(int(exponent)) * max(base.numerator.bit_length(), base.denominator.bit_length()) > _BITS:
        raise Undefined
    return Fraction(base) ** int(exponent)


def _call(name: str, args: list[Exact]) -> Exact:
    first, last = args[0], args[-1]
    if name == "abs":
        return first if first >= 0 else -first
    if name in ("floor", "ceil"):
        return math.floor(first) if name == "floor" else math.ceil(first)
    if name == "sgn":
        return (first > 0) - (first < 0)
    if name in ("max", "min"):
        return max(args) if name == "max" else min(args)
    if any(arg.denominator != 1 for arg in args):
        raise Undefined
    if name in ("gcd", "lcm"):
        return (math.gcd if name == "gcd" else math.lcm)(*map(int, args))
    if name == "mod" and last > 0:
        return first % last
    if name == "factorial" and 0 <= first <= _FACTORIAL:
        return math.factorial(int(first))
    if name == "binom" and first >= 0 and last >= 0 and (first <= _BINOMIAL or last <= 20):
        return math.comb(int(first), int(last))
    raise Undefined
