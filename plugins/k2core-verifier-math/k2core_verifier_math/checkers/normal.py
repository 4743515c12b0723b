"""A normal form: polynomials over the rationals in symbols, pi, e, i and roots of primes.

Powers may be rational. Within this class the form decides: rational powers of distinct primes are linearly independent over the
rationals (Besicovitch 1940), and pi and e are each transcendental. With both pi and e only equality is decided.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from ..reading.nodes import Add, Big, Call, Const, Mul, Node, Num, Pow, Sym, symbols, walk

Atom = str
Monomial = tuple[tuple[Atom, Fraction], ...]
Polynomial = dict[Monomial, Fraction]

MAX_TERMS, MAX_BITS, MAX_WORK = 64, 40_000, 1500
"""Most terms, longest numbers in bits, and most operations, long ones counted by their length: about a millisecond."""
_PRIMES = [p for p in range(2, 1000) if all(p % q for q in range(2, int(p**0.5) + 1))]
_ONE: Monomial = ()


class NotNormal(Exception):
    """The expression is outside the class, or too large for it."""


def constant(value: Fraction | int) -> Polynomial:
    return {_ONE: Fraction(value)} if value else {}


@lru_cache(maxsize=512)
def normal(node: Node) -> Polynomial | None:
    """The normal form of an expression; None outside the class or beyond the budget. Callers must not change it."""
    try:
        return _Normalizer().of(node)
    except (NotNormal, ZeroDivisionError, OverflowError):
        return None


def rational(node: Node) -> Fraction | None:
    """The value of an expression that is a rational number in the class."""
    form = normal(node)
    return None if form is None else number(form)


def number(form: Polynomial) -> Fraction | None:
    if not form:
        return Fraction(0)
    return form.get(_ONE) if len(form) == 1 else None


def atoms(form: Polynomial) -> set[Atom]:
    return {atom for monomial in form for atom, _ in monomial}


def decisive(*forms: Polynomial) -> bool:
    """Whether different forms are different values."""
    names = set[Atom]().union(*(atoms(form) for form in forms))
    return not {"π", "e"} <= names


class _Normalizer:
    """Works out one normal form; every operation costs about what its integers are long."""

    def __init__(self) -> None:
        self.left = MAX_WORK

    def of(self, node: Node) -> Polynomial:
        match node:
            case Num(value):
                return constant(value)
            case Sym(name):
                return {((name, Fraction(1)),): Fraction(1)}
            case Const(name):
                return _constant(name)
            case Add(terms):
                return self.add(*(self.of(term) for term in terms))
            case Mul(factors):
                found = constant(1)
                for factor in factors:
                    found = self.multiply(found, self.of(factor))
                return found
            case Pow(base, exponent):
                return self.power(self.of(base), self.rational(exponent))
            case Call(name, args):
                return constant(_call(name, [self.rational(arg) for arg in args]))
            case Big():
                return self.big(node)
        raise NotNormal

    def rational(self, node: Node) -> Fraction:
        value = number(self.of(node))
        if value is None:
            raise NotNormal
        return value

    def add(self, *forms: Polynomial) -> Polynomial:
        found: Polynomial = {}
        for form in forms:
            for monomial, coefficient in form.items():
                total = found.get(monomial, 0) + coefficient
                if total:
                    found[monomial] = self.checked(total)
                else:
                    del found[monomial]
        if len(found) > MAX_TERMS:
            raise NotNormal
        return found

    def multiply(self, left: Polynomial, right: Polynomial) -> Polynomial:
        found: Polynomial = {}
        for a, x in left.items():
            for b, y in right.items():
                factor, monomial = self.joined(a, b)
                total = found.get(monomial, 0) + self.checked(x * y * factor)
                if total:
                    found[monomial] = total
                else:
                    found.pop(monomial, None)
        if len(found) > MAX_TERMS:
            raise NotNormal
        return found

    def checked(self, value: Fraction) -> Fraction:
        bits = value.numerator.bit_length() + value.denominator.bit_length()
        self.left -= 1 + (bits // 300) ** 2 // 16
        if bits > MAX_BITS or self.left < 0:
            raise NotNormal
        return value

    def joined(self, a: Monomial, b: Monomial) -> tuple[Fraction, Monomial]:
        """The product of two monomials, and the rational factor that comes out of roots and powers of i."""
        if not a or not b:
            return Fraction(1), a or b
        powers = dict(a)
        for atom, exponent in b:
            powers[atom] = powers.get(atom, Fraction(0)) + exponent
        return self.reduce(powers)

    def reduce(self, powers: dict[Atom, Fraction]) -> tuple[Fraction, Monomial]:
        factor, kept = Fraction(1), []
        for atom, exponent in powers.items():
            if atom[0] == "#":
                whole = math.floor(exponent)
                if abs(whole) > 2000:
                    raise NotNormal
                factor *= Fraction(int(atom[1:])) ** whole
                exponent -= whole
            elif atom == "i":
                if exponent.denominator != 1:
                    raise NotNormal
                factor *= -1 if exponent % 4 >= 2 else 1
                exponent %= 2
            if exponent:
                kept.append((atom, exponent))
        return factor, tuple(sorted(kept))

    def power(self, base: Polynomial, exponent: Fraction) -> Polynomial:
        if exponent.denominator == 1 and exponent >= 0:
            return self.integer_power(base, int(exponent))
        if len(base) != 1:
            if not base and exponent < 0:
                raise ZeroDivisionError
            if not base:
                return {}
            raise NotNormal
        [(monomial, coefficient)] = base.items()
        if exponent.denominator == 1:
            factor, inverted = self.reduce({atom: power * exponent for atom, power in monomial})
            return {inverted: self.checked(self.fraction_power(coefficient, int(exponent)) * factor)}
        return self.root(monomial, coefficient, exponent)

    def fraction_power(self, base: Fraction, exponent: int) -> Fraction:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if base not in (0, 1, -1) and bits * abs(exponent) > 2 * MAX_BITS:
            raise NotNormal
        return base**exponent

    def integer_power(self, base: Polynomial, exponent: int) -> Polynomial:
        if len(base) <= 1 and set(base) <= {_ONE}:
            return constant(self.checked(self.fraction_power(base.get(_ONE, Fraction(0)), exponent)))
        if len(base) == 1:
            [(monomial, coefficient)] = base.items()
            factor, raised = self.reduce({atom: power * exponent for atom, power in monomial})
            return {raised: self.checked(self.fraction_power(coefficient, exponent) * factor)}
        if exponent > 24:
            raise NotNormal
        found = constant(1)
        for _ in range(exponent):
            found = self.multiply(found, base)
        return found

    def root(self, monomial: Monomial, coefficient: Fraction, exponent: Fraction) -> Polynomial:
        """A rational power of one term. Of symbols only a lone one: the root of a product need not be the product of the roots."""
        powers: dict[Atom, Fraction] = {}
        symbols = [(atom, power) for atom, power in monomial if atom[0] != "#" and atom not in ("π", "e")]
        sign = 1
        if coefficient < 0 or any(atom == "i" for atom, _ in symbols):
            if symbols or exponent.denominator != 2:
                raise NotNormal
            powers["i"] = Fraction(exponent.numerator)
            sign = -1
        if len(symbols) > 1 or any(power != 1 for _, power in symbols):
            raise NotNormal
        for atom, power in monomial:
            powers[atom] = power * exponent
        for prime, count in _factors(sign * coefficient):
            powers[f"#{prime}"] = powers.get(f"#{prime}", Fraction(0)) + count * exponent
        factor, reduced = self.reduce(powers)
        return {reduced: self.checked(factor)} if coefficient else {}

    def big(self, node: Big) -> Polynomial:
        low, high = self.rational(node.low), self.rational(node.high)
        if low.denominator != 1 or high.denominator != 1 or not 0 <= high - low <= 120:
            raise NotNormal
        if any("_" in name and node.variable in name.partition("_")[2] for name in symbols(node.body)):
            raise NotNormal
        found, cost = constant(0 if node.kind == "sum" else 1), 4 * len(walk(node.body))
        for value in range(int(low), int(high) + 1):
            self.left -= cost
            term = self.of(substitute(node.body, {node.variable: Num(Fraction(value))}))
            found = self.add(found, term) if node.kind == "sum" else self.multiply(found, term)
        return found


def _constant(name: str) -> Polynomial:
    if name == "deg":
        return {(("π", Fraction(1)),): Fraction(1, 180)}
    if name not in ("pi", "e", "i"):
        raise NotNormal
    return {(("π" if name == "pi" else name, Fraction(1)),): Fraction(1)}


def _factors(value: Fraction) -> list[tuple[int, int]]:
    """Prime factors with their exponents. Raises `NotNormal` where one of more than six digits is left."""
    if value.numerator.bit_length() + value.denominator.bit_length() > 200:
        raise NotNormal
    found = []
    for rest, sign in ((value.numerator, 1), (value.denominator, -1)):
        for prime in _PRIMES:
            count = 0
            while rest % prime == 0 and rest:
                rest //= prime
                count += 1
            if count:
                found.append((prime, sign * count))
            if rest < prime * prime:
                break
        if rest > 1:
            if rest >= 1_000_000:
                raise NotNormal
            found.append((rest, sign))
    return found


def _call(name: str, args: list[Fraction]) -> Fraction:
    whole = all(arg.denominator == 1 for arg in args)
    first = args[0]
    if name == "factorial" and whole and 0 <= first <= 2100:
        return Fraction(math.factorial(int(first)))
    if name == "binom" and whole and 0 <= first <= 2000 and 0 <= args[1] <= first:
        return Fraction(math.comb(int(first), int(args[1])))
    if name == "mod" and whole and args[1] > 0:
        return first % args[1]
    if name in ("gcd", "lcm") and whole:
        return Fraction((math.gcd if name == "gcd" else math.lcm)(*map(int, args)))
    if name in ("max", "min"):
        return (max if name == "max" else min)(args)
    if name in ("abs", "floor", "ceil") and len(args) == 1:
        return abs(first) if name == "abs" else Fraction(math.floor(first) if name == "floor" else math.ceil(first))
    raise NotNormal


def substitute(node: Node, values: dict[str, Node]) -> Node:
    """With symbols replaced; inside sums and products their own variable stays."""
    match node:
        case Sym(name):
            return values.get(name, node)
        case Const(name) if name in values:
            return values[name]
        case Add(terms):
            return Add(tuple(substitute(term, values) for term in terms))
        case Mul(factors):
            return Mul(tuple(substitute(factor, values) for factor in factors))
        case Pow(base, exponent):
            return Pow(substitute(base, values), substitute(exponent, values))
        case Call(name, args):
            return Call(name, tuple(substitute(arg, values) for arg in args))
        case Big(kind, variable, low, high, body):
            inner = {name: value for name, value in values.items() if name != variable}
            return Big(kind, variable, substitute(low, values), substitute(high, values), substitute(body, inner))
    return node
