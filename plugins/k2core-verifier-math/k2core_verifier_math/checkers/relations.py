"""Equations and inequalities, against each other and against values."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

from ..reading.nodes import (
    Add,
    Apply,
    Bracket,
    Call,
    Items,
    Matrix,
    Mod,
    Mul,
    Node,
    Num,
    Ratio,
    Rel,
    Sym,
    is_value,
    negative,
    symbols,
)
from . import numeric
from .modular import P, residues
from .normal import normal, rational, substitute
from .opinions import EXACT, Opinion, different, equal, every, undecided
from .rewrite import rewrite
from .whole import NoValue

_LARGEST = 400
"""Records times symbols of two equations above which no point on one is looked for: some milliseconds."""

Same: TypeAlias = Callable[[Node, Node], Opinion | None]


def is_name(node: Node) -> bool:
    """What stands on the left of "name = value": x, f(x), |AB|, A:B, (p, q), AB."""
    match node:
        case Sym() | Apply():
            return True
        case Call("abs", (inside,)):
            return is_name(inside)
        case Mul(parts) | Bracket(_, _, parts) | Ratio(parts):
            return all(isinstance(part, Sym) for part in parts)
    return False


def assigned(relation: Rel) -> tuple[Node, Node] | None:
    """Name and value of x = 5, x = 2 + 3 = 5, 5 = x; None for other relations."""
    if set(relation.ops) != {"="}:
        return None
    first, last = relation.sides[0], relation.sides[-1]
    if is_name(first) and not (isinstance(last, Sym) and not isinstance(first, Sym)):
        return first, last
    if is_name(last):
        return last, first
    return None


def value_of(relation: Rel) -> Node | None:
    """The answer in a relation: the value of an equation, the set in x ∈ S; None where it is no value."""
    if pair := assigned(relation):
        return pair[1]
    if relation.ops[-1:] == ("∈",):
        return relation.sides[-1]
    if set(relation.ops) == {"="}:
        last = rational(relation.sides[-1])
        if not symbols(relation) or (last is not None and last != 0):
            return relation.sides[-1]
    return None


def compare_relations(gold: Rel, answer: Rel, same: Same) -> Opinion | None:
    if "≡" in gold.ops or "≡" in answer.ops:
        return _congruences(gold, answer, same)
    first, second = assigned(gold), assigned(answer)
    if first and second:
        second = _one_argument(first, second)
        opinion = _assignments(first, second, same)
        explicit = first[0] == second[0] and not any(
            isinstance(name, Sym) and name.name in symbols(value) for name, value in (first, second)
        )
        if opinion is None or opinion[0] != "different" or explicit or not (symbols(first[1]) or symbols(second[1])):
            return opinion
    if len(gold.ops) == len(answer.ops) == 1 and gold.ops == answer.ops == ("=",):
        return _equations(gold, answer, same)
    return _chains(gold, answer, same)


_INEQUALITIES = frozenset("<≤>≥≠")


def compare_with_value(relation: Rel, other: Node, *, is_reference: bool, same: Same) -> Opinion:
    """A relation that gives no value against something else: an inequality or an equation in several symbols is no number.

    An equation in one symbol may stand for its solution: a number that does not solve it is not what is meant.
    """
    parts = other.items if isinstance(other, Items) else (other,)
    strange = all(is_value(part) and not symbols(part) & symbols(relation) for part in parts)
    number = strange and not symbols(other)
    if number and not is_reference and not isinstance(other, Items):
        return different("a relation is no value")
    names = sorted(symbols(relation))
    several = relation.ops == ("=",) and len(names) > 1
    unequal = set(relation.ops) <= _INEQUALITIES and not isinstance(other, Items)
    ordered = all(isinstance(part, Bracket | Matrix) for part in parts)
    if (several and (strange or ordered)) or (unequal and number):
        return different("a relation against a value")
    if relation.ops == ("=",) and len(names) > 1 and is_value(other):
        difference = Add((relation.sides[0], negative(relation.sides[1])))
        opinions = [same(part, other) for part in (*relation.sides, difference)]
        if all(opinion is not None and opinion[0] == "different" for opinion in opinions):
            return different("an equation against an expression that is no side of it")
    if number and relation.ops == ("=",) and len(names) == 1:
        return _solved(relation, names[0], parts, same)
    return undecided("a relation is compared with a value")


def _solved(relation: Rel, name: str, values: tuple[Node, ...], same: Same) -> Opinion:
    for value in values:
        opinion = same(*(substitute(side, {name: value}) for side in relation.sides))
        if opinion is not None and opinion[0] == "different":
            return different("the value does not solve the equation")
    return undecided("an equation is compared with what may be its solution")


def _one_argument(first: tuple[Node, Node], second: tuple[Node, Node]) -> tuple[Node, Node]:
    """f(m) = m + 1 beside f(n) = n + 1 says the same: the argument only has another name."""
    match first[0], second[0]:
        case Apply(f, (Sym(one),)), Apply(g, (Sym(other),)) if f == g and one != other:
            return first[0], substitute(second[1], {other: Sym(one)})
    return second


def _assignments(first: tuple[Node, Node], second: tuple[Node, Node], same: Same) -> Opinion | None:
    opinion = same(first[1], second[1])
    if opinion is None or opinion[0] != "equal" or _same_name(first[0], second[0]):
        return opinion
    if isinstance(second[0], Apply) or not (isinstance(first[0], Sym) and isinstance(second[0], Sym)):
        return opinion if not isinstance(first[0], Apply) else undecided("the same value under different names")
    return undecided("the same value under different names")


def _same_name(a: Node, b: Node) -> bool:
    return a == b or (isinstance(a, Sym) and isinstance(b, Sym) and a.name.casefold() == b.name.casefold())


def _equations(gold: Rel, answer: Rel, same: Same) -> Opinion | None:
    """Two equations are the same if one is a constant multiple of the other; a point on one and off the other tells them apart."""
    sides = every(same(x, y) for x, y in zip(gold.sides, answer.sides, strict=True))
    if sides is not None and sides[0] == "equal":
        return sides
    f, g = (rewrite(Add((side.sides[0], negative(side.sides[1])))) for side in (gold, answer))
    ratio = _proportional(f, g)
    if ratio is not None:
        return ratio
    names = sorted(symbols(f) | symbols(g))
    if numeric.size(f, g) * len(names) > _LARGEST:
        return None
    for left, right in ((f, g), (g, f)):
        for name in names:
            if any(_off(right, point) for point in _points_on(left, name, names)):
                return different("a solution of one equation does not solve the other")
    return None


def _proportional(f: Node, g: Node) -> Opinion | None:
    a, b = normal(f), normal(g)
    if a and b and set(a) == set(b):
        factors = {a[monomial] / b[monomial] for monomial in a}
        if len(factors) == 1:
            return equal(EXACT)
    x, y = residues(f), residues(g)
    if x and y and all(y) and all(x):
        ratios = {u * pow(v, P - 2, P) % P for u, v in zip(x, y, strict=True)}
        if len(ratios) == 1:
            return equal("identity modulo a prime, up to a factor")
    return None


def _points_on(f: Node, name: str, names: list[str]) -> list[dict[str, Fraction]]:
    """Points at which an expression vanishes that is linear or quadratic in one symbol; the other symbols are arbitrary."""
    found = []
    for turn in range(2):
        point = {other: Fraction(3 + 5 * place + 7 * turn, 11 + place) for place, other in enumerate(names)}
        try:
            at = [numeric.value(f, {**point, name: Fraction(value)}) for value in (0, 1, 2, 5)]
        except NoValue:
            return []
        if (root := _root(at)) is not None:
            found.append({**point, name: root})
    return found


def _root(at: list[Any]) -> Fraction | None:
    """A real root of the polynomial of degree one or two that has these values at 0, 1, 2 and 5."""
    context = numeric.points()
    a = (at[2] - 2 * at[1] + at[0]) / 2
    b = at[1] - at[0] - a
    scale = max(map(abs, at))
    if any(context.im(value) != 0 for value in at) or abs(at[3] - (25 * a + 5 * b + at[0])) > scale * 1e-40:
        return None
    if abs(a) <= scale * 1e-40:
        return numeric.fraction(-at[0] / b) if abs(b) > scale * 1e-40 else None
    discriminant = b * b - 4 * a * at[0]
    return numeric.fraction((-b + context.sqrt(discriminant)) / (2 * a)) if discriminant >= 0 else None


def _off(g: Node, point: dict[str, Fraction]) -> bool:
    """Whether an expression is clearly not zero at a point."""
    try:
        return bool(abs(numeric.value(g, point)) > 1e-20)
    except NoValue:
        return False


def _chains(gold: Rel, answer: Rel, same: Same) -> Opinion | None:
    """Chains like f(2) < f(1) < f(4), read in one direction; single inequalities up to a positive factor."""
    a, b = _ascending(gold), _ascending(answer)
    if a.ops == b.ops:
        opinion = every(same(x, y) for x, y in zip(a.sides, b.sides, strict=True))
        if opinion is None or opinion[0] != "different":
            return opinion
        if len(a.ops) == 1 and a.ops[0] in "<≤≠":
            return _inequality(a, b)
        return opinion if not any(symbols(side) for side in (*a.sides, *b.sides)) else None
    if len(a.ops) == len(b.ops) == 1 and "∈" not in (*a.ops, *b.ops) and "=" not in (*a.ops, *b.ops):
        return different("different relations")
    return None


def _ascending(relation: Rel) -> Rel:
    if all(op in ("≥", ">", "=") for op in relation.ops) and set(relation.ops) != {"="}:
        back = {">": "<", "≥": "≤", "=": "="}
        return Rel(tuple(back[op] for op in relation.ops[::-1]), relation.sides[::-1])
    return relation


def _inequality(a: Rel, b: Rel) -> Opinion | None:
    f, g = (Add((side.sides[0], negative(side.sides[1]))) for side in (a, b))
    left, right = normal(f), normal(g)
    if left is None or right is None:
        return None
    if set(left) == set(right):
        factors = {left[monomial] / right[monomial] for monomial in left}
        if len(factors) == 1 and factors.pop() > 0:
            return equal(EXACT)
    names = sorted(symbols(f) | symbols(g))
    for turn in range(12):
        point: dict[str, Node] = {
            name: Num(Fraction((17 * place + 29 * turn * (place + 1)) % 41 - 20, 3 + turn % 3)) for place, name in enumerate(names)
        }
        values = [rational(substitute(side, point)) for side in (f, g)]
        if values[0] is not None and values[1] is not None and values[0] * values[1] < 0:
            return different("a point satisfies one inequality and not the other")
    return None


def _congruences(gold: Rel, answer: Rel, same: Same) -> Opinion | None:
    a, b = gold.sides[-1], answer.sides[-1]
    if gold.ops != answer.ops or not isinstance(a, Mod) or not isinstance(b, Mod):
        return None
    return compare_residues(a, b, same)


def compare_residues(a: Mod, b: Mod, same: Same) -> Opinion | None:
    modulus = same(a.modulus, b.modulus)
    if modulus is None or modulus[0] != "equal":
        return modulus
    values = [rational(node) for node in (a.value, b.value, a.modulus)]
    if values[0] is None or values[1] is None or not values[2]:
        return same(a.value, b.value)
    return (equal if (values[0] - values[1]) % values[2] == 0 else different)(EXACT)
