"""Values with units, percentages, digits in a base, times of the day, ratios."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from ..reading.nodes import MINUS_ONE, Based, Clock, Mul, Node, Num, Quantity, Ratio, Sym, inverse
from ..reading.units import power, unit
from .opinions import EXACT, Opinion, different, equal, every, undecided
from .rewrite import degrees

Same: TypeAlias = Callable[[Node, Node], Opinion | None]
SPECIAL = (Quantity, Clock, Ratio)
_HUNDREDTH = Num(Fraction(1, 100))


def scaled(node: Node, factor: Fraction) -> Node:
    if isinstance(node, Num):
        return Num(node.value * factor, node.ulp and node.ulp * factor, node.digits)
    return node if factor == 1 else Mul((Num(factor), node))


def compare_quantities(gold: Node, answer: Node, same: Same) -> Opinion | None:
    """The opinion where at least one side is a quantity, a time or a ratio."""
    if isinstance(gold, Clock) or isinstance(answer, Clock):
        return _clocks(gold, answer)
    if isinstance(gold, Ratio) or isinstance(answer, Ratio):
        return _ratios(gold, answer, same)
    return _units(gold, answer, same)


def _units(gold: Node, answer: Node, same: Same) -> Opinion | None:
    """A missing unit is overlooked, a different one of the same dimension is converted."""
    (a, first), (b, second) = _split(gold, answer), _split(answer, gold)
    if "%" in (first, second):
        return _percentages(a, first, b, second, same)
    units = unit(first) if first else None, unit(second) if second else None
    powers = power(first), power(second)
    if None in units and min(powers) > 1 and powers[0] != powers[1]:
        return different(f"{first} and {second} measure different things")
    if units[0] is None or units[1] is None or first == second:
        return same(a, b)
    if units[0].dimension != units[1].dimension:
        return different(f"{first} and {second} measure different things")
    return same(scaled(a, units[0].factor), scaled(b, units[1].factor))


def _split(node: Node, other: Node) -> tuple[Node, str]:
    """Value and unit; beside "5 m" the symbol in 5m is a unit as well."""
    if isinstance(node, Quantity):
        return node.value, node.unit
    if isinstance(node, Mul) and isinstance(other, Quantity) and isinstance(node.factors[-1], Sym):
        name = node.factors[-1].name
        if unit(name) is not None and unit(other.unit) is not None:
            rest = node.factors[:-1]
            return (rest[0] if len(rest) == 1 else Mul(rest)), name
    return node, ""


def _percentages(a: Node, first: str, b: Node, second: str, same: Same) -> Opinion | None:
    """A percentage equals its number and its value: 5% is 5 where percentages were asked for, and 0.05."""
    if first == second:
        return same(a, b)
    if first and second:
        return different(f"{first} and {second} measure different things")
    opinion = same(a, b)
    if opinion is not None and opinion[0] == "equal":
        return opinion
    a, b = (scaled(a, _HUNDREDTH.value), b) if first else (a, scaled(b, _HUNDREDTH.value))
    return same(a, b)


def based(node: Node) -> tuple[int, Based] | None:
    """Sign and digits of a number in a base."""
    if isinstance(node, Based):
        return 1, node
    if isinstance(node, Mul) and len(node.factors) == 2 and node.factors[0] == MINUS_ONE and isinstance(node.factors[1], Based):
        return -1, node.factors[1]
    return None


def compare_based(gold: Node, answer: Node, same: Same) -> Opinion | None:
    """The digits count: a missing base is overlooked, the same value in another base is not what was asked for."""
    a, b = based(gold), based(answer)
    values = (a and _value(*a), b and _value(*b))
    if a and values[0] is None:
        return undecided("the reference has a digit that its base has not")
    if b and values[1] is None:
        return different("a digit that the base has not")
    if a and b:
        if a[1].base == b[1].base:
            return (equal if values[0] == values[1] else different)(EXACT)
        return undecided("the same value in different bases") if values[0] == values[1] else different(EXACT)
    signed = a or b
    assert signed is not None
    sign, number = signed
    other, value = (answer, values[0]) if a else (gold, values[1])
    literal = Num(sign * Fraction(number.digits[:400])) if number.digits.replace(".", "", 1).isdecimal() else None
    if literal is not None and (opinion := same(literal, other)) and opinion[0] == "equal":
        return equal("the same digits, the base aside")
    opinion = same(Num(value or Fraction(0)), other)
    if opinion is None or opinion[0] != "equal":
        return opinion
    return different("not in the base of the reference") if a else undecided("the same value in different bases")


def _value(sign: int, number: Based) -> Fraction | None:
    """The value, for negative bases as well; None for a digit that the base has not."""
    whole, _, broken = number.digits[:400].partition(".")
    digits = [int(digit, 36) for digit in whole + broken]
    if abs(number.base) < 2 or max(digits) >= abs(number.base):
        return None
    found = 0
    for digit in digits:
        found = found * number.base + digit
    return Fraction(sign * found) / Fraction(number.base) ** len(broken)


def _clocks(gold: Node, answer: Node) -> Opinion | None:
    a, b = _clock(gold), _clock(answer)
    if a is None or b is None:
        clock, other = (a, answer) if a else (b, gold)
        if clock and isinstance(other, Num | Quantity) and _hours(other) in (clock.hours, clock.hours % 12):
            return undecided("a time of the day is compared with a number of hours")
        return different("a time of the day against something else")
    if (a.hours % 12, a.minutes) != (b.hours % 12, b.minutes):
        return different("times of the day")
    if a.half and b.half:
        return (equal if a.half == b.half else different)("times of the day")
    return undecided("one of the times lacks am or pm")


def _hours(node: Num | Quantity) -> Fraction | None:
    value = node.value
    return value if isinstance(value, Fraction) else value.value if isinstance(value, Num) else None


def _clock(node: Node) -> Clock | None:
    if isinstance(node, Clock):
        return node
    if isinstance(node, Ratio) and len(node.parts) == 2 and all(isinstance(part, Num) for part in node.parts):
        hours, minutes = (part.value for part in node.parts if isinstance(part, Num))
        if hours.denominator == minutes.denominator == 1:
            return Clock(int(hours), int(minutes), "")
    return None


def _ratios(gold: Node, answer: Node, same: Same) -> Opinion | None:
    if isinstance(gold, Ratio) and isinstance(answer, Ratio):
        if len(gold.parts) != len(answer.parts):
            return different("ratios of different length")
        literal = every(same(a, b) for a, b in zip(gold.parts, answer.parts, strict=True))
        if literal is not None and literal[0] != "different":
            return literal
        if any(part == Num(Fraction(0)) for part in (*gold.parts, *answer.parts)):
            return different("not the same time or ratio")
        pairs = zip(gold.parts[1:], answer.parts[1:], strict=True)
        return every(same(Mul((a, answer.parts[0])), Mul((b, gold.parts[0]))) for a, b in pairs)
    ratio, other = (gold, answer) if isinstance(gold, Ratio) else (answer, gold)
    assert isinstance(ratio, Ratio)
    if len(ratio.parts) != 2 or ratio.parts[1] == Num(Fraction(0)):
        return undecided("a ratio is compared with a value")
    quotient = Mul((ratio.parts[0], inverse(ratio.parts[1])))
    return same(quotient, other) if ratio is gold else same(other, quotient)


def compare_degrees(gold: Node, answer: Node, same: Same) -> Opinion | None:
    """An angle in degrees against a number: the sign of degrees may be missing, or the number is in radians."""
    a, b = degrees(gold), degrees(answer)
    if a is not None and b is not None:
        return same(a, b)
    opinion = same(a or gold, b or answer)
    if opinion is not None and opinion[0] == "equal":
        return opinion
    pi = _turned(gold, a), _turned(answer, b)
    return same(*pi)


def _turned(node: Node, angle: Node | None) -> Node:
    from ..reading.nodes import Const

    return node if angle is None else Mul((angle, Num(Fraction(1, 180)), Const("pi")))
