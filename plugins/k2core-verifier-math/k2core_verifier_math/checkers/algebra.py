"""Computer algebra, in a worker process only: SymPy objects built from our records by constructors, compared by math-verify.

No text reaches SymPy's own parsers: those evaluate Python.
"""

from __future__ import annotations

from typing import Any

import sympy  # type: ignore[import-untyped]  # ships no types
from math_verify import verify  # type: ignore[import-untyped]  # ships no types

from ..reading.nodes import Add, Big, Call, Const, Mul, Node, Num, Pow, Sym, walk
from .opinions import Opinion, different, equal, undecided
from .rewrite import rewrite

MATH_VERIFY, SYMPY = "math-verify", "SymPy's exact value"
_LARGEST = 300
_HIGHEST = 1000
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo, "deg": sympy.pi / 180}
_FUNCTIONS = {
    "ln": sympy.log,
    "log": sympy.log,
    "abs": sympy.Abs,
    "arcsin": sympy.asin,
    "arccos": sympy.acos,
    "arctan": sympy.atan,
    "arccot": sympy.acot,
    "arcsec": sympy.asec,
    "arccsc": sympy.acsc,
    "arsinh": sympy.asinh,
    "arcosh": sympy.acosh,
    "artanh": sympy.atanh,
    "floor": sympy.floor,
    "ceil": sympy.ceiling,
    "sgn": sympy.sign,
    "max": sympy.Max,
    "min": sympy.Min,
    "gcd": sympy.gcd,
    "lcm": sympy.lcm,
    "mod": sympy.Mod,
    "factorial": sympy.factorial,
    "binom": sympy.binomial,
    **{name: getattr(sympy, name) for name in "sin cos tan cot sec csc sinh cosh tanh coth sech csch".split()},
}


class NotBuilt(Exception):
    """No SymPy object is made of this."""


def build(node: Node) -> Any:
    """The SymPy object of an expression. Raises `NotBuilt`."""
    match node:
        case Num(value):
            return sympy.Rational(value.numerator, value.denominator)
        case Sym(name):
            return sympy.Symbol(name, real=True)
        case Const(name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case Add(terms):
            return sympy.Add(*map(build, terms))
        case Mul(factors):
            return sympy.Mul(*map(build, factors))
        case Pow(base, exponent):
            power = build(exponent)
            if power.is_Rational and abs(power) > _HIGHEST:
                raise NotBuilt("a large exponent")
            return sympy.Pow(build(base), power)
        case Call(name, args) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(build, args))
        case Big(kind, variable, low, high, body):
            series = sympy.Sum if kind == "sum" else sympy.Product
            return series(build(body), (sympy.Symbol(variable, real=True), build(low), build(high)))
    raise NotBuilt(type(node).__name__)


def compare_algebra(gold: Node, answer: Node) -> Opinion | None:
    """math-verify's opinion on two expressions that our own checkers could not evaluate; one-sided doubts stay open."""
    if len(walk(gold)) + len(walk(answer)) > _LARGEST:
        return undecided("too large for computer algebra")
    try:
        pair = build(rewrite(gold, "ln")), build(rewrite(answer, "ln"))
    except NotBuilt as error:
        return undecided(f"no checker evaluates this ({error})")
    values = [side.doit() for side in pair]
    if all(value.is_Rational for value in values):
        return equal(SYMPY) if values[0] == values[1] else different(SYMPY)
    if verify(*pair, timeout_seconds=None) or verify(*pair[::-1], timeout_seconds=None):
        return equal(MATH_VERIFY)
    if all(any(isinstance(part, Big) for part in walk(node)) for node in (gold, answer)):
        return different(MATH_VERIFY)
    return undecided("math-verify sees no equality, and nothing proves a difference")
