"""High-precision evaluation: enclosing intervals for real constants, plain values of 60 digits at points for the rest.

The contexts are this module's own and their precision never changes, so threads may share them.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from ..reading.nodes import Add, Big, Call, Const, Mul, Node, Num, Pow, Sym, children
from .normal import rational
from .whole import LARGEST, LARGEST_EXPONENT, LONGEST_SUM, Lost, NoValue, WholeNumbers

BITS, MORE_BITS = 220, 32_000
"""Precision, and that where a term is too small to show beside another."""
_RECIPROCAL = {"sec": "cos", "csc": "sin", "cot": "tan", "sech": "cosh", "csch": "sinh", "coth": "tanh"}
_INVERSES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh"}


@cache
def points(bits: int = BITS) -> Any:
    """The context for values at points."""
    from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]  # ships no types

    context = MPContext()
    context.prec = bits
    return context


@cache
def intervals() -> Any:
    """The context for enclosures."""
    from mpmath.ctx_iv import MPIntervalContext  # type: ignore[import-untyped]  # ships no types

    context = MPIntervalContext()
    context.prec = BITS
    return context


@lru_cache(maxsize=1024)
def _converted(fraction: Fraction, bits: int) -> Any:
    return points(bits).mpf(fraction.numerator) / fraction.denominator


@lru_cache(maxsize=1024)
def _enclosed(fraction: Fraction) -> Any:
    return intervals().mpf(fraction.numerator) / fraction.denominator


def value(node: Node, point: dict[str, Fraction] | None = None) -> Any:
    """The value at a point, real or complex, to 60 digits. Raises `NoValue`."""
    return _Evaluator(points(), point or {}, rounded=False).guarded(node)


def values(nodes: list[Node], point: dict[str, Fraction] | None = None, *, bits: int = BITS) -> tuple[list[Any], bool]:
    """Values at a point, and whether a term drowns in another, so that these digits do not show it. Raises `NoValue`."""
    evaluators = [_Evaluator(points(bits), point or {}, rounded=False) for _ in nodes]
    found = [evaluator.guarded(node) for evaluator, node in zip(evaluators, nodes, strict=True)]
    return found, any(evaluator.drowned for evaluator in evaluators)


def enclosure(node: Node, point: dict[str, Fraction] | None = None, *, rounded: bool = False) -> Any:
    """An interval that holds the value; `rounded` takes decimals of four digits or more for any value that rounds to them."""
    return _Evaluator(intervals(), point or {}, rounded=rounded).guarded(node)


def fraction(found: Any) -> Fraction | None:
    """The exact value of a real number of the context; None if that would be very long."""
    sign, mantissa, exponent, _ = points().re(found)._mpf_
    if abs(exponent) > 4000:
        return None
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -exact if sign else exact


class _Evaluator(WholeNumbers):
    def __init__(self, context: Any, point: dict[str, Fraction], *, rounded: bool) -> None:
        self.context, self.point, self.rounded = context, point, rounded
        self.exact = context is intervals()
        self.precise = not self.exact and context.prec > BITS
        self.drowned = self.lost = False

    def guarded(self, node: Node) -> Any:
        try:
            found = self.of(node)
        except (
            ValueError,
            ZeroDivisionError,
            OverflowError,
            ArithmeticError,
            AttributeError,
            NotImplementedError,
            TypeError,
        ) as error:
            raise NoValue(str(error)) from error
        if not (found.delta < self.context.inf if self.exact else self.context.isfinite(found)):
            raise NoValue("not finite")
        if self.lost:
            raise Lost("only the rounding is left of a sum")
        return found

    def of(self, node: Node) -> Any:
        match node:
            case Num(fraction, ulp, digits):
                if self.rounded and ulp is not None and digits >= 4:
                    return self.context.mpf([self.number(fraction - ulp / 2).a, self.number(fraction + ulp / 2).b])
                return self.number(fraction)
            case Sym(name):
                if name not in self.point:
                    raise NoValue(name)
                return self.number(self.point[name])
            case Const(name):
                return self.constant(name)
            case Add(terms):
                return self.total(terms)
            case Mul(factors):
                found = self.of(factors[0])
                for factor in factors[1:]:
                    found = found * self.of(factor)
                return found
            case Pow(base, exponent):
                return self.power(base, exponent)
            case Call(name, args):
                return self.call(name, args)
            case Big():
                return self.big(node)
        raise NoValue(type(node).__name__)

    def number(self, fraction: Fraction) -> Any:
        return _enclosed(fraction) if self.exact else _converted(fraction, self.context.prec)

    def total(self, terms: tuple[Node, ...]) -> Any:
        parts = [self.of(term) for term in terms]
        found = parts[0]
        for part in parts[1:]:
            found = found + part
        if not self.exact:
            self.watch(parts, found)
        return found

    def watch(self, parts: list[Any], found: Any) -> None:
        """Whether a term is too small to show in a sum, and whether what is left of a sum is mostly rounding."""
        size, top = abs(found), max(map(abs, parts))
        least = size * self.context.ldexp(1, -MORE_BITS * 82 // 100 if self.precise else -115)
        self.drowned = self.drowned or any(part != 0 and abs(part) < least for part in parts)
        if size < top * self.context.ldexp(1, -MORE_BITS // 10 if self.precise else -60):
            self.lost = self.lost or self.drowned or top > 2**60

    def constant(self, name: str) -> Any:
        if name == "pi":
            return +self.context.pi
        if name == "e":
            return +self.context.e
        if name == "deg":
            return self.context.pi / 180
        if name == "i" and not self.exact:
            return self.context.mpc(0, 1)
        raise NoValue(name)

    def power(self, base: Node, exponent: Node) -> Any:
        ratio = rational(exponent)
        if base == Const("e"):
            return self.context.exp(self.limited(self.of(exponent), LARGEST_EXPONENT))
        root = self.of(base)
        if ratio is None:
            return self.shaped(root, self.limited(self.of(exponent), LARGEST_EXPONENT))
        if abs(ratio) > (MORE_BITS if self.precise else LARGEST_EXPONENT):
            raise NoValue("a large exponent")
        if ratio.denominator == 1:
            return root ** int(ratio)
        return self.fractional(root, ratio)

    def shaped(self, root: Any, shape: Any) -> Any:
        """A power whose exponent is only known by its value."""
        if not self.exact and self.context.isint(shape) and (root != 0 or shape > 0):
            return root ** int(self.context.re(shape))
        if not self.exact and root == 0 and self.context.im(shape) == 0 and shape > 0:
            return root
        self.positive(root)
        return self.context.exp(self.limited(shape * self.context.ln(root), LARGEST_EXPONENT))

    def fractional(self, root: Any, ratio: Fraction) -> Any:
        """A rational power; of a negative number with an odd root it is the real one, as in the cube root of -8."""
        negative = (root.b < 0) if self.exact else (self.context.im(root) == 0 and self.context.re(root) < 0)
        if negative and ratio.denominator % 2:
            found = self.fractional(-root, ratio)
            return -found if ratio.numerator % 2 else found
        if self.exact and root.a < 0:
            raise NoValue("a root of a negative number")
        if ratio.denominator == 2:
            return self.context.sqrt(root) ** ratio.numerator
        if root == 0 or self.precise:
            raise NoValue("a power of zero, or too many digits")
        return self.context.exp(self.context.ln(root) * ratio.numerator / ratio.denominator)

    def positive(self, found: Any) -> None:
        if self.exact and not found.a > 0:
            raise NoValue("a logarithm or power of what may be negative")
        if not self.exact and found == 0:
            raise NoValue("a logarithm or power of zero")

    def limited(self, found: Any, largest: int = LARGEST) -> Any:
        """The argument of a function that is no power: not for a precision at which that takes milliseconds."""
        if self.precise:
            raise NoValue("too many digits")
        if self.exact:
            if not (found.a > -largest and found.b < largest):
                raise NoValue("a large argument")
        elif not abs(found) < largest:
            raise NoValue("a large argument")
        return found

    def call(self, name: str, args: tuple[Node, ...]) -> Any:
        context = self.context
        if name in ("gcd", "lcm", "mod", "binom", "floor", "ceil", "max", "min", "factorial", "sgn", "det"):
            return self.whole(name, args)
        x = self.of(args[0])
        if name == "abs":
            return abs(x)
        if name in ("ln", "log"):
            self.positive(self.limited(x, LARGEST_EXPONENT) if self.precise else x)
            if len(args) == 1:
                return context.ln(x)
            base = self.of(args[1])
            self.positive(base)
            return context.ln(x) / context.ln(base)
        self.limited(x)
        if name in ("sinh", "cosh", "tanh"):
            up, down = context.exp(x), context.exp(-x)
            if name == "tanh":
                return (up - down) / (up + down)
            return (up - down) / 2 if name == "sinh" else (up + down) / 2
        if name in _RECIPROCAL:
            return 1 / self.apart(self.call(_RECIPROCAL[name], args))
        if name in ("sin", "cos", "tan"):
            return context.sin(x) / self.apart(context.cos(x)) if name == "tan" else getattr(context, name)(x)
        return self.inverse(name, x)

    def apart(self, found: Any) -> Any:
        """A denominator that is not zero but for rounding."""
        if not self.exact and abs(found) < 1e-50:
            raise NoValue("a pole")
        return found

    def inverse(self, name: str, x: Any) -> Any:
        """Inverse functions, at points only."""
        if self.exact:
            raise NoValue(name)
        if name in ("arccot", "arcsec", "arccsc"):
            return getattr(self.context, {"arccot": "atan", "arcsec": "acos", "arccsc": "asin"}[name])(1 / x)
        return getattr(self.context, _INVERSES[name])(x)


def size(*nodes: Node) -> int:
    """How much there is to evaluate: records, those in a sum or product as often as it may have terms."""
    found = 0
    for node in nodes:
        factor = LONGEST_SUM if isinstance(node, Big) else 1
        found += 1 + factor * size(*children(node))
    return found
