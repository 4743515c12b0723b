"""Keys: equal answers get the same text as far as a normal form exists, and the same text means equal answers."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ..reading.answer import LONGEST, read
from ..reading.names import UNION
from ..reading.nodes import (
    Based,
    Big,
    Bracket,
    Builder,
    Call,
    Choice,
    Clock,
    Dots,
    Items,
    Matrix,
    Mod,
    Node,
    Noted,
    Quantity,
    Ratio,
    Rel,
    SetOp,
    Text,
    symbols,
    walk,
)
from ..reading.text import tidy
from ..reading.units import unit
from . import numeric
from .modular import residues
from .normal import Polynomial, normal, number
from .quantities import scaled
from .relations import assigned
from .rewrite import rewrite
from .sets import NoSet, real_set, set_like
from .spread import cornered, fingerprint, stepped
from .structure import plain
from .values import infinity, positive_points
from .whole import NoValue

LARGEST = 150
"""Records of an expression that gets a key of its own; a larger one is its tidied text."""
_READ, _TERMS, _PRINTED = 300, 12, 400


class NoKey(Exception):
    """No normal form is known."""


def canonical(text: str) -> str:
    """The form under which an answer votes. Takes about a millisecond at most and never raises."""
    return _canonical(text) if len(text) <= _READ else tidy(text) if len(text) <= LONGEST else text.strip()


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    node = read(text)
    if node is None or len(walk(node)) > LARGEST:
        return tidy(text)
    try:
        return _key(node)
    except (NoKey, NoSet, RecursionError):
        return tidy(text)


def _key(node: Node) -> str:
    node = plain(node)
    if any(isinstance(part, Dots | Noted | Builder) for part in walk(node)):
        raise NoKey
    if set_like(node):
        return _set(node)
    match node:
        case Items(_, items):
            return "{" + ", ".join(sorted(map(_key, items))) + "}"
        case Bracket(opening, closing, items):
            return opening + ", ".join(map(_key, items)) + closing
        case Matrix(rows):
            return "[" + "; ".join(", ".join(map(_key, row)) for row in rows) + "]"
        case Rel():
            return _relation(node)
        case Quantity(value, words):
            return _quantity(value, words)
        case Text(words) | Choice(words, _):
            return words
        case Based(digits, base):
            return f"{digits.lstrip('0')}_{base}"
        case Clock(hours, minutes, half):
            return f"{hours % 12}:{minutes:02} {half}".strip()
        case Ratio(parts):
            return ":".join(map(_key, parts))
        case Mod(value, modulus):
            return f"{_key(value)} mod {_key(modulus)}"
        case SetOp():
            raise NoKey
    return _expression(node)


def _set(node: Node) -> str:
    parts = [
        "{" + _key(one.low) + "}"
        if one.low == one.high
        else f"{'[' if one.low_closed else '('}{_key(one.low)}, {_key(one.high)}{']' if one.high_closed else ')'}"
        for one in real_set(node)
    ]
    return UNION.join(parts) or "∅"


def _relation(node: Rel) -> str:
    if pair := assigned(node):
        return _key(pair[1])
    return " ".join(part for side, op in zip(node.sides, (*node.ops, ""), strict=True) for part in (_key(side), op)).strip()


def _quantity(value: Node, words: str) -> str:
    known = unit(words)
    if known is None:
        return f"{_key(value)} {words}"
    base = "·".join(name if count == 1 else f"{name}^{count}" for name, count in known.dimension)
    return f"{_key(scaled(value, known.factor))} {base}"


def _expression(node: Node) -> str:
    if sign := infinity(node):
        return "∞" if sign > 0 else "-∞"
    if any(isinstance(part, Call) and part.name == "log" and len(part.args) == 1 for part in walk(node)):
        raise NoKey
    node = rewrite(node)
    form, names = normal(node), ", ".join(sorted(symbols(node)))
    if form is not None and len(form) <= _TERMS and (names or number(form) is not None):
        return printed(form)
    if names and (found := residues(node)) is not None:
        return f"f({names})#{found[0]:x}{found[1] & 0xFFFFFFFF:x}"
    if numeric.size(node) > LARGEST:
        raise NoKey
    if names and stepped(node):
        return f"f({names})@{_spread(node)}"
    return f"{f'f({names})' if names else ''}≈{_digits(node)}"


def _spread(node: Node) -> str:
    """A digest of the values where such functions are compared, and of these points: they are the expression's own."""
    if any(isinstance(part, Big) for part in walk(node)) or (found := fingerprint(node, sorted(symbols(node)))) is None:
        raise NoKey
    return hashlib.sha256(found.encode()).hexdigest()[:32]


def _digits(node: Node) -> str:
    """25 digits of a constant; those at two points for an expression in symbols, at more where a root may be of a square."""
    names = sorted(symbols(node))
    chosen = positive_points(names)[:2]
    if names and cornered(node):
        chosen += [{name: value * far for name, value in chosen[0].items()} for far in (150, 20_000, -2000)]
    try:
        found = [numeric.values([node], point) for point in chosen]
    except NoValue as error:
        raise NoKey from error
    if any(drowned for _, drowned in found):
        raise NoKey
    return "; ".join(dict.fromkeys(_decimal(value) for [value], _ in found))


def _decimal(value: Any) -> str:
    """25 digits, without the imaginary part that only rounding left."""
    context = numeric.points()
    kept = context.chop(value, 1e-40 * float(abs(value)) if abs(value) < 1e300 else 0)
    return str(context.nstr(kept, 25))


def printed(form: Polynomial) -> str:
    """A polynomial as text, the highest powers first: `x^2-1/2*x+√2`."""
    found = ""
    for monomial, coefficient in sorted(form.items(), key=_order):
        factors = "*".join(_factor(atom, exponent) for atom, exponent in monomial)
        digits = _number(abs(coefficient)) if abs(coefficient) != 1 or not factors else ""
        sign = "-" if coefficient < 0 else "+" if found else ""
        found += sign + digits + ("*" if digits and factors else "") + factors
    return found or "0"


def _number(value: Fraction) -> str:
    """A positive fraction; of a very long one a digest: Python does not print integers of more than 4,300 digits."""
    if max(value.numerator, value.denominator).bit_length() <= _PRINTED:
        return str(value)
    return "#" + hashlib.sha256(f"{value.numerator:x}/{value.denominator:x}".encode()).hexdigest()[:32]


def _factor(atom: str, exponent: Fraction) -> str:
    if atom[0] == "#":
        return f"√{atom[1:]}" if exponent == Fraction(1, 2) else f"{atom[1:]}^({exponent})"
    return atom if exponent == 1 else f"{atom}^{exponent if exponent.denominator == 1 and exponent > 0 else f'({exponent})'}"


def _order(item: tuple[tuple[tuple[str, Fraction], ...], Fraction]) -> tuple[Fraction, str]:
    degree = sum((exponent for atom, exponent in item[0] if atom[0] not in "#π"), Fraction(0))
    return -degree, str(item[0])
