"""Numbers as written, and how far they may lie from what they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from .tokens import Token
from .value import Interval


@dataclass(slots=True)
class Known:
    """What the steps before have established: how far numbers, as written, may lie from what they stand for."""

    widths: dict[Fraction, Fraction] = field(default_factory=dict)

    def width(self, token: Token) -> Fraction:
        assert token.value is not None
        if (known := self.widths.get(abs(token.value))) is not None:
            return known
        return unit(token) if token.places >= 3 or _rounded_share(token) else Fraction(0)

    def learn(self, literal: Token, value: Interval) -> None:
        """A literal has been used for a value that is not quite equal."""
        assert literal.value is not None
        gap = max(abs(abs(end) - abs(literal.value)) for end in (value.lo, value.hi))
        gap = min(gap, unit(literal))
        key = abs(literal.value)
        if gap > self.widths.get(key, Fraction(0)):
            self.widths[key] = gap


def unit(token: Token) -> Fraction:
    """One unit in the last place of a number; at least what floating point may be off by."""
    assert token.value is not None
    return max(Fraction(1, 10**token.places), abs(token.value) / 10**9 if token.places > 6 else Fraction(0))


def _rounded_share(token: Token) -> bool:
    """Two places that look like thirds or sixths: 0.33, 1.67, 0.17."""
    assert token.value is not None
    return token.places == 2 and any(round(Fraction(k, 6) % 1, 2) == token.value % 1 for k in (1, 2, 4, 5))
