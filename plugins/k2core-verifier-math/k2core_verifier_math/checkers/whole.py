"""Evaluation of functions of integers, of steps, and of sums and products over integers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..reading.nodes import Big, Call, Node, Num, symbols
from .normal import rational, substitute

LARGEST, LARGEST_EXPONENT = 100_000, 10**12
"""Largest argument of a trigonometric function, and of an exponential or a power, in absolute value."""
LONGEST_SUM = 120


class NoValue(Exception):
    """There is no finite value, it is not computed here, or it would take too long."""


class Lost(NoValue):
    """More digits would be needed to tell."""


class WholeNumbers:
    """What an evaluator does with integers."""

    context: Any
    point: dict[str, Fraction]
    exact: bool
    precise: bool

    def of(self, node: Node) -> Any:
        """The value of an expression. Defined with the evaluator."""
        raise NotImplementedError

    def number(self, fraction: Fraction) -> Any:
        """A rational number of the context. Defined with the evaluator."""
        raise NotImplementedError

    def whole(self, name: str, args: tuple[Node, ...]) -> Any:
        values = [rational(arg) for arg in args]
        if any(value is None for value in values):
            try:
                values = [self.at_point(arg) for arg in args]
            except NoValue:
                return self.real(name, args)
        known = [value for value in values if value is not None]
        exact = rational(Call(name, tuple(map(Num, known))))
        return self.large(name, known) if exact is None else self.number(exact)

    def large(self, name: str, values: list[Fraction]) -> Any:
        """A factorial or binomial coefficient of integers by logarithms of the gamma function."""
        top, bottom = values[0], values[-1] if name == "binom" else Fraction(0)
        whole = top.denominator == bottom.denominator == 1 and 0 <= bottom <= top <= LARGEST_EXPONENT
        if self.exact or self.precise or name not in ("factorial", "binom") or not whole:
            raise NoValue(name)
        gamma = self.context.loggamma
        power = gamma(int(top) + 1)
        if name == "binom":
            power -= gamma(int(bottom) + 1) + gamma(int(top - bottom) + 1)
        return self.context.exp(power)

    def at_point(self, node: Node) -> Fraction:
        found = rational(substitute(node, {name: Num(value) for name, value in self.point.items()}))
        if found is None:
            raise NoValue("not rational")
        return found

    def real(self, name: str, args: tuple[Node, ...]) -> Any:
        if self.exact or name not in ("max", "min", "floor", "ceil"):
            raise NoValue(name)
        values = [self.of(arg) for arg in args]
        if any(self.context.im(value) != 0 for value in values):
            raise NoValue("not real")
        if name in ("max", "min"):
            return max(values) if name == "max" else min(values)
        if abs(values[0] - self.context.nint(values[0])) < abs(values[0]) * 1e-40 + 1e-40:
            raise NoValue("a step, or a value that is not told from one")
        return getattr(self.context, name)(values[0])

    def big(self, node: Big) -> Any:
        low, high = (self.at_point(bound) for bound in (node.low, node.high))
        if low.denominator != 1 or high.denominator != 1 or not 0 <= high - low <= LONGEST_SUM:
            raise NoValue("bounds")
        if any("_" in name and node.variable in name.partition("_")[2] for name in symbols(node.body)):
            raise NoValue("a sequence")
        found = self.number(Fraction(0 if node.kind == "sum" else 1))
        before = self.point
        for step in range(int(low), int(high) + 1):
            self.point = {**before, node.variable: Fraction(step)}
            term = self.of(node.body)
            found = found + term if node.kind == "sum" else found * term
        self.point = before
        return found
