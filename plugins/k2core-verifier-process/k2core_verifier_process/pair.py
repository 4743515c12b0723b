"""The two sides of a claim, and every reading under which they may be equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .reading import Reader, Reading, Width
from .rounding import Known, unit
from .tokens import Token
from .units import converts, mixed_units
from .value import Interval

_ROUGH = Fraction(1, 5)
"""A value called approximate may be off by this share."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`line[begin:stop]` is said to be `line[relation + 1 : right.end]`."""

    line: Sequence[Token]
    begin: int
    stop: int
    relation: int
    left: Reading
    right: Reading
    known: Known

    def holds(self) -> bool | None:
        left, right = self.left, self.right
        if left.value.meets(right.value) or self._nearly() or self._other_reading():
            return True
        if left.ambiguous or right.ambiguous or right.shares:
            return None
        if self._runs_on() or self._floors() or mixed_units(left.units, right.units):
            return None
        if (left.units or right.units) and converts(left.units, right.units, left.value, right.value):
            return None
        return None if self._percent_of_nothing() else False

    def _nearly(self) -> bool:
        """Equal but for rounding; what is learnt by it serves the steps to come."""
        left = self._again(self.begin, self.stop, self.known.width).value
        literal = self.right.literal
        if literal is not None:
            sign = -1 if self.right.value.lo < 0 else 1
            width = Fraction(0) if not literal.places and _whole(self.left.value) else unit(literal)
            width = max(width, self.known.width(literal))
            near = Interval.of(sign * (literal.value or 0), width)
            if left.meets(near) and not _misses(left, near, width, literal):
                self.known.learn(literal, self.left.value)
                return True
        elif left.meets(self._again(self.relation + 1, self.right.end, self._loose).value):
            return True
        return self.line[self.relation].text == "~" and _rough(self.left.value, self.right.value)

    def _floors(self) -> bool:
        """`42/5 + 42/25 = 8 + 1`: quotients of a sum rounded to whole numbers one by one."""
        left, right = self.left.value, self.right.value
        terms = 1 + self.left.operators
        return bool(self.right.operators) and not _whole(left) and _whole(right) and abs(left.middle - right.middle) < terms

    def _loose(self, token: Token) -> Fraction:
        return unit(token) if token.places else self.known.width(token)

    def _again(self, begin: int, stop: int, width: Width, percent: bool = True) -> Reading:
        return Reader(self.line, begin, stop, width=width, percent=percent).read()

    def _other_reading(self) -> bool:
        """`25%` may stand for 25 or for 0.25 on either side."""
        if not (self.left.percents or self.right.percents):
            return False
        sides = [
            [self._again(start, stop, self.known.width, percent).value for percent in (True, False)]
            for start, stop in ((self.begin, self.stop), (self.relation + 1, self.right.end))
        ]
        literal = self.right.literal
        slack = Interval(-unit(literal), unit(literal)) if literal else Interval.of(0)
        return any(one.meets(other + slack) for one in sides[0] for other in sides[1])

    def _percent_of_nothing(self) -> bool:
        """`80 + 20%`: a share of what stands before it, in common use; and sums that mix them are not settled."""
        both = (self.left, self.right)
        return any(side.percents and side.summed for side in both)

    def _runs_on(self) -> bool:
        """`3 + 4 = 7 + 5 = 12`: the right side begins with the result and goes on."""
        right = self.right
        return bool(
            right.operators and right.first is not None and self.left.value.meets(Interval.of(right.first, Fraction(1, 100)))
        )


def _misses(left: Interval, near: Interval, width: Fraction, literal: Token) -> bool:
    """One whole unit in the last place is too far for a rounding: 7.5 is not 7.4."""
    gap = max(left.lo - near.middle, near.middle - left.hi)
    return bool(width) and gap >= width and width == unit(literal)


def _rough(left: Interval, right: Interval) -> bool:
    return abs(left.middle - right.middle) <= _ROUGH * max(abs(left.middle), abs(right.middle))


def _whole(value: Interval) -> bool:
    return value.exact and value.lo.denominator == 1
