"""Sets that are given by a rule, and which sets no list of values can be."""

from __future__ import annotations

from fractions import Fraction

from ..reading.nodes import Add, Builder, Const, Items, Mul, Node, Num, Rel, Sym, inverse, negative, symbols
from .normal import normal, rational, substitute
from .opinions import Opinion, different, equal
from .sets import Interval, NoSet, Same, position, real_set


def extended(node: Node) -> bool:
    """Whether a record is a set that no list of values can be: an interval longer than a point, or all integers of a form."""
    if (rule := by_rule(node)) is not None and symbols(rule[0]) & {name for name, _ in rule[1]}:
        return True
    try:
        return any(one.low != one.high and not _point(one) for one in real_set(node))
    except NoSet:
        return False


def _point(one: Interval) -> bool:
    try:
        return position(one.low) >= position(one.high)
    except NoSet:
        return False


def by_rule(node: Node) -> tuple[Node, tuple[tuple[str, Node], ...]] | None:
    r"""A set given by a rule: the expression of its elements, and where the parameters lie: {3k | k ∈ Z}, x = 3k, k ∈ Z."""
    match node:
        case Builder(element, conditions):
            parts = list(conditions)
        case Items("list", (element, *rest)) if rest and all(isinstance(part, Rel) and part.ops == ("∈",) for part in rest):
            parts = list(rest)
        case _:
            return None
    if isinstance(element, Rel) and element.ops == ("=",) and isinstance(element.sides[0], Sym):
        element = element.sides[1]
    domains: list[tuple[str, Node]] = []
    for part in parts:
        if not isinstance(part, Rel) or len(part.ops) != 1 or not isinstance(part.sides[0], Sym):
            return None
        name = part.sides[0].name
        if part.ops == ("=",):
            element = substitute(element, {name: part.sides[1]})
        elif part.ops == ("∈",):
            domains.append((name, part.sides[1]))
        else:
            return None
    return element, tuple(domains)


def compare_rules(gold: Node, answer: Node, same: Same) -> Opinion | None:
    """Two sets of one integer parameter: the same expression, or a + bk with the same step and a start a multiple of it away."""
    a, b = by_rule(gold), by_rule(answer)
    if a is None or b is None or [domain for _, domain in a[1]] != [domain for _, domain in b[1]]:
        return None
    left = substitute(a[0], {name: Sym(f"?{place}") for place, (name, _) in enumerate(a[1])})
    right = substitute(b[0], {name: Sym(f"?{place}") for place, (name, _) in enumerate(b[1])})
    opinion = same(left, right)
    if opinion is None or opinion[0] == "equal" or len(a[1]) != 1 or a[1][0][1] != Const("Z"):
        return opinion if opinion and opinion[0] == "equal" else None
    return _progressions(left, right, same)


def _progressions(left: Node, right: Node, same: Same) -> Opinion | None:
    starts, steps = [], []
    for side in (left, right):
        at = [substitute(side, {"?0": Num(Fraction(value))}) for value in (0, 1, 2)]
        starts.append(at[0])
        steps.append(Add((at[1], negative(at[0]))))
        linear = same(Add((at[2], negative(at[1]))), steps[-1])
        if linear is None or linear[0] != "equal":
            return None
    step = same(steps[0], steps[1]), same(steps[0], negative(steps[1]))
    if not any(opinion and opinion[0] == "equal" for opinion in step):
        return step[0] if step[0] and step[1] and step[1][0] == "different" else None
    apart = Mul((Add((starts[0], negative(starts[1]))), _over(steps[0])))
    shift = rational(apart)
    if shift is None:
        return None
    return equal("arithmetic progressions") if shift.denominator == 1 else different("arithmetic progressions")


def _over(node: Node) -> Node:
    form = normal(node)
    if form is not None and len(form) == 1:
        [(monomial, coefficient)] = form.items()
        if monomial == (("π", Fraction(1)),):
            return inverse(Mul((Num(coefficient), Const("pi"))))
    return inverse(node)
