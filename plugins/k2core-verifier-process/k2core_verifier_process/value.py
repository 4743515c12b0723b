"""Arithmetic on closed intervals of rationals: exact where the numbers are, and honest about those that were rounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

_BITS = 4096
"""Numerators and denominators longer than this are not computed with."""
_DIGITS = 40
"""Decimal digits of irrational values."""


class Unreadable(Exception):
    """This cannot be evaluated, or not within bounds; nothing is known about it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """All values from `lo` to `hi`."""

    lo: Fraction
    hi: Fraction

    @classmethod
    def of(cls, value: Fraction | int, around: Fraction | int = 0) -> Interval:
        return cls(Fraction(value) - around, Fraction(value) + around)

    @property
    def middle(self) -> Fraction:
        return (self.lo + self.hi) / 2

    @property
    def exact(self) -> bool:
        return self.lo == self.hi

    def meets(self, other: Interval) -> bool:
        """Whether they have a value in common."""
        return self.lo <= other.hi and other.lo <= self.hi

    def __neg__(self) -> Interval:
        return Interval(-self.hi, -self.lo)

    def __add__(self, other: Interval) -> Interval:
        return _bounded(self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        if self.exact and other.exact:
            return _bounded(product := self.lo * other.lo, product)
        ends = [a * b for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return _bounded(min(ends), max(ends))

    def __truediv__(self, other: Interval) -> Interval:
        if other.lo <= 0 <= other.hi:
            raise Unreadable("a division by zero")
        return self * Interval(1 / other.hi, 1 / other.lo)

    def power(self, exponent: Interval) -> Interval:
        """For integer exponents, and halves as roots."""
        if not exponent.exact:
            raise Unreadable("a rounded exponent")
        value = exponent.lo
        if value == Fraction(1, 2):
            return self.root(2)
        if value.denominator != 1:
            raise Unreadable("a fractional exponent")
        if value < 0:
            return Interval.of(1) / self.power(-exponent)
        size = max(part.bit_length() for end in (self.lo, self.hi) for part in (end.numerator, end.denominator))
        if int(value) * size > _BITS:
            raise Unreadable("a power too large to compute")
        ends = [self.lo ** int(value), self.hi ** int(value)]
        low = Fraction(0) if self.lo < 0 < self.hi and value % 2 == 0 else min(ends)
        return _bounded(low, max(ends))

    def root(self, degree: int) -> Interval:
        """The real root; 40 digits where it is irrational. Raises `Unreadable` for even roots of negative values."""
        if not 2 <= degree <= 20 or (self.lo < 0 and degree % 2 == 0):
            raise Unreadable("no such root")
        return Interval(_root(self.lo, degree)[0], _root(self.hi, degree)[1])

    def factorial(self) -> Interval:
        if not self.exact or self.lo.denominator != 1 or not 0 <= self.lo <= 200:
            raise Unreadable("no such factorial")
        return Interval.of(math.factorial(int(self.lo)))

    def choose(self, other: Interval) -> Interval:
        """The binomial coefficient."""
        whole = self.exact and other.exact and self.lo.denominator == other.lo.denominator == 1
        if not whole or not 0 <= other.lo <= self.lo <= 500:
            raise Unreadable("no such binomial coefficient")
        return Interval.of(math.comb(int(self.lo), int(other.lo)))


def _bounded(lo: Fraction, hi: Fraction) -> Interval:
    if max(lo.numerator.bit_length(), lo.denominator.bit_length(), hi.numerator.bit_length(), hi.denominator.bit_length()) > _BITS:
        raise Unreadable("a value too long to compute with")
    return Interval(lo, hi)


def _root(value: Fraction, degree: int) -> tuple[Fraction, Fraction]:
    """Bounds from below and above, equal when the root is rational."""
    if value < 0:
        low, high = _root(-value, degree)
        return -high, -low
    top, bottom = _whole_root(value.numerator, degree), _whole_root(value.denominator, degree)
    if top**degree == value.numerator and bottom**degree == value.denominator:
        return Fraction(top, bottom), Fraction(top, bottom)
    scale = 10**_DIGITS
    scaled = _whole_root(value.numerator * scale**degree // value.denominator, degree)
    return Fraction(scaled, scale), Fraction(scaled + 1, scale)


def _whole_root(value: int, degree: int) -> int:
    """The largest integer whose power of `degree` is at most `value`, by Newton's method from above."""
    if degree == 2:
        return math.isqrt(value)
    guess = 1 << -(-value.bit_length() // degree)
    while guess:
        closer = ((degree - 1) * guess + value // guess ** (degree - 1)) // degree
        if closer >= guess:
            return guess
        guess = closer
    return 0


PI = Interval(
    Fraction(31415926535897932384626433832795028841971, 10**40), Fraction(31415926535897932384626433832795028841972, 10**40)
)


def written(value: Interval) -> str:
    """A value for people: whole, a short decimal, else a fraction or six digits."""
    if not value.exact:
        return f"about {_short(value.middle)}"
    if value.lo.denominator == 1:
        return str(value.lo)
    decimal = _short(value.lo)
    return decimal if Fraction(decimal) == value.lo else f"{value.lo} (about {decimal})"


def _short(value: Fraction) -> str:
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.6g}"
