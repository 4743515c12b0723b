"""Factors to products, sides to relations, words to units."""

from __future__ import annotations

from fractions import Fraction

from .nodes import ONE, Apply, Call, Clock, Mul, Node, Num, Pow, Quantity, Ratio, Rel, Sym

_PERCENT = frozenset("% percent pct percentage percents".split())


def fraction(node: Node) -> Fraction | None:
    """The value of a fraction of two positive integers."""
    top, bottom = Fraction(1), node
    if isinstance(node, Mul) and len(node.factors) == 2 and isinstance(node.factors[0], Num):
        top, bottom = node.factors[0].value, node.factors[1]
    if not (isinstance(bottom, Pow) and isinstance(bottom.base, Num) and bottom.exponent == Num(Fraction(-1))):
        return None
    below = bottom.base.value
    return top / below if top > 0 < below and top.denominator == below.denominator == 1 else None


def mixed(whole: Fraction, part: Fraction) -> Node:
    """An integer with a fraction behind it; with an improper one it may be meant as a sum or as a product."""
    return Num(whole + part) if part < 1 else Call("mixed", (Num(whole), Num(part)))


def product(factors: list[Node]) -> Node:
    """A decimal fraction times a power of ten is one number, with its own last place."""
    if len(factors) >= 2 and isinstance(factors[0], Num) and factors[0].ulp is not None:
        power = factors[1]
        if isinstance(power, Pow) and power.base == Num(Fraction(10)) and isinstance(power.exponent, Num):
            exponent = power.exponent.value
            if exponent.denominator == 1 and abs(exponent) <= 400:
                scale = Fraction(10) ** int(exponent)
                first = Num(factors[0].value * scale, factors[0].ulp * scale, factors[0].digits)
                return product([first, *factors[2:]])
    factors = [factor for factor in factors if factor != ONE] or factors[:1]
    return factors[0] if len(factors) == 1 else Mul(tuple(factors))


def with_unit(value: Node, unit: str) -> Node:
    words = unit.split()
    if words[-1].lower() in ("am", "pm") and (clock := _clock(value, words[-1].lower())):
        return clock
    if words[0].lower() in _PERCENT:
        return Quantity(value, "%")
    return Quantity(value, unit)


def _clock(value: Node, half: str) -> Clock | None:
    parts = value.parts if isinstance(value, Ratio) else (value,)
    numbers = [int(part.value) for part in parts if isinstance(part, Num) and part.value.denominator == 1]
    if len(numbers) != len(parts) or len(parts) > 2:
        return None
    return Clock(numbers[0], numbers[1] if len(numbers) == 2 else 0, half)


def related(ops: list[str], sides: list[Node]) -> Node:
    """A chain of relations; "≈ 0.33" behind a value only repeats it."""
    while "≈" in ops:
        place = ops.index("≈")
        if place == 0 and isinstance(sides[0], Sym | Apply):
            ops[0] = "="
        else:
            ops, sides = ops[:place], sides[: place + 1]
    if "→" in ops:
        last = len(ops) - ops[::-1].index("→")
        ops, sides = ops[last:], sides[last:]
    return Rel(tuple(ops), tuple(sides)) if ops else sides[0]
