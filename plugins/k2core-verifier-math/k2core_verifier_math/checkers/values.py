"""Two expressions: is it the same value, or the same function of their symbols?

In the order of strength: exact arithmetic on the normal form, identity of rational functions modulo a prime, enclosing intervals,
values of 60 digits at points.
"""

from __future__ import annotations

from fractions import Fraction

from ..reading.nodes import Big, Call, Const, Mul, Node, Num, Sym, symbols, walk
from . import numeric
from .modular import residues
from .normal import Polynomial, decisive, normal, rational, substitute
from .opinions import DIGITS, EXACT, IDENTITY, INTERVAL, ROUNDED, Opinion, different, equal, undecided
from .rewrite import Base, rewrite
from .spread import compare_spread, cornered, stepped
from .whole import Lost, NoValue

LEAST_DIGITS = 4
"""Significant digits from which a decimal fraction may stand for the value that rounds to it."""
_NOISE, _NEGLIGIBLE = 13, Fraction(1, 10**12)
"""Digits from which a decimal fraction is the output of a program, and the relative size of the noise in its last ones."""

_PLACES = [(2, 3), (3, 7), (5, 4), (7, 11), (11, 6), (13, 17), (17, 5)]
_VANISHING = 1e-55
"""What is left by rounding where a value is zero."""
_INTEGERS = (4, 7, 11, 5, 9, 6)
_POSITIVE, _FLIPPED = 3, 6
"""How many points have all symbols positive, and how many symbols are tried negative."""


def compare_values(gold: Node, answer: Node, *, budget: int = 10_000) -> Opinion | None:
    """The opinion on two expressions; None when nothing here can tell, or telling costs more than `budget` records to evaluate."""
    if gold == answer:
        return equal("the same expression")
    if (signs := (infinity(gold), infinity(answer))) != (0, 0):
        return equal(EXACT) if signs[0] == signs[1] else different(EXACT)
    if isinstance(gold, Num) and isinstance(answer, Num):
        return numbers(gold, answer)
    opinion = _by_base_of_logarithm(gold, answer, budget)
    if opinion and opinion[0] == "different" and (renaming := _renamed(gold, answer)):
        other = _by_base_of_logarithm(gold, substitute(answer, renaming), budget)
        if other is not None and other[0] == "equal":
            return other if set(renaming) <= {"c", "C", "k", "K"} else undecided("equal but for the case of a symbol")
    return opinion


def infinity(node: Node) -> int:
    """1 or -1 for plus or minus infinity, else 0."""
    if node == Const("inf"):
        return 1
    if isinstance(node, Mul) and len(node.factors) == 2 and node.factors[1] == Const("inf"):
        value = rational(node.factors[0])
        return 0 if value is None else (value > 0) - (value < 0)
    return 0


def numbers(gold: Num, answer: Num) -> Opinion:
    """Two numbers as written. A decimal fraction may be rounded; a coarse one is not taken for a finer one."""
    if gold.value == answer.value:
        return equal(EXACT)
    for exact, decimal in ((gold, answer), (answer, gold)):
        if decimal.ulp is not None and _rounds(exact.value, decimal) and (exact.ulp is None or exact.ulp <= decimal.ulp):
            return equal(ROUNDED)
    if gold.ulp is not None and abs(gold.value - answer.value) <= gold.ulp / 2 and gold.digits == LEAST_DIGITS - 1:
        return undecided(f"the answer rounds to the reference, which has only {gold.digits} digits")
    return different(EXACT)


def _rounds(value: Fraction, decimal: Num) -> bool:
    """Whether a value rounds to a decimal fraction of at least four digits, or is cut to it at six or more."""
    assert decimal.ulp is not None
    gap = abs(value - decimal.value)
    if decimal.digits >= _NOISE:
        return gap <= abs(decimal.value) * _NEGLIGIBLE
    if decimal.digits < LEAST_DIGITS:
        return False
    cut: bool = decimal.digits >= LEAST_DIGITS + 2 and abs(value) >= abs(decimal.value) and gap < decimal.ulp
    return cut or bool(gap <= decimal.ulp / 2)


def _by_base_of_logarithm(gold: Node, answer: Node, budget: int) -> Opinion | None:
    r"""`\log` without a base is the natural one where the other side says `ln`, else it has to make no difference."""
    bare = [
        any(isinstance(part, Call) and part.name == "log" and len(part.args) == 1 for part in walk(node)) for node in (gold, answer)
    ]
    if not any(bare):
        return _compare(rewrite(gold), rewrite(answer), budget)
    other = answer if bare[0] else gold
    bases = {
        part.name if part.name == "ln" else part.args[1] for part in walk(other) if isinstance(part, Call) and _logarithm(part)
    }
    readings: list[Base] = ["ln", Num(Fraction(10))]
    if bases and not all(bare):
        readings = readings[:1] if "ln" in bases else readings[1:]
    opinions = [_compare(rewrite(gold, base), rewrite(answer, base), budget) for base in readings]
    if len({opinion and opinion[0] for opinion in opinions}) == 1:
        return opinions[0]
    return undecided("it depends on the base of the logarithm")


def _renamed(gold: Node, answer: Node) -> dict[str, Node]:
    """Symbols of the answer that the reference has in the other case, as an arbitrary constant c or C."""
    ours, theirs = symbols(gold), symbols(answer)
    return {name: Sym(name.swapcase()) for name in theirs - ours if name.swapcase() in ours - theirs}


def _logarithm(call: Call) -> bool:
    return call.name == "ln" or (call.name == "log" and len(call.args) == 2)


def _compare(gold: Node, answer: Node, budget: int) -> Opinion | None:
    if gold == answer:
        return equal("the same expression")
    names = sorted(symbols(gold) | symbols(answer))
    cheap = numeric.size(gold, answer) * (1 + min(len(names), _FLIPPED)) <= budget
    for exact, decimal in ((gold, answer), (answer, gold)):
        if (
            cheap
            and isinstance(decimal, Num)
            and decimal.ulp is not None
            and not symbols(exact)
            and (opinion := _rounded(exact, decimal))
        ):
            return opinion
    forms = normal(gold), normal(answer)
    if forms[0] is not None and forms[1] is not None and (opinion := _by_form(forms[0], forms[1], gold, answer, cheap)):
        return opinion
    if opinion := _modular(gold, answer):
        return opinion
    if not cheap:
        return None
    opinion = _functions(gold, answer, names) if names else _constants(gold, answer)
    if opinion and opinion[0] == "different" and _approximately(gold, answer, names):
        return equal(ROUNDED)
    return opinion


def _by_form(a: Polynomial, b: Polynomial, gold: Node, answer: Node, cheap: bool) -> Opinion | None:
    if a == b:
        return equal(EXACT)
    if not decisive(a, b):
        return None
    if cheap and _approximately(gold, answer, sorted(symbols(gold) | symbols(answer))):
        return equal(ROUNDED)
    return different(EXACT)


def _modular(gold: Node, answer: Node) -> Opinion | None:
    a = residues(gold)
    b = residues(answer) if a is not None else None
    if a is None or b is None:
        return None
    if a == b:
        return equal("identity modulo a prime")
    both = {part.name for node in (gold, answer) for part in walk(node) if isinstance(part, Const)} >= {"pi", "e"}
    decimals = any(isinstance(part, Num) and part.ulp is not None for node in (gold, answer) for part in walk(node))
    return None if both or decimals else different(EXACT)


def _rounded(exact: Node, decimal: Num) -> Opinion | None:
    """A constant against a decimal fraction."""
    try:
        found = numeric.value(exact)
    except NoValue:
        return None
    context = numeric.points()
    if context.im(found) != 0:
        return None
    ratio = numeric.fraction(found)
    return equal(ROUNDED) if ratio is not None and _rounds(ratio, decimal) else None


def _constants(gold: Node, answer: Node) -> Opinion | None:
    try:
        a, b = numeric.enclosure(gold), numeric.enclosure(answer)
    except NoValue:
        return _digits(gold, answer)
    if a.b < b.a or b.b < a.a:
        return different(INTERVAL)
    return _digits(gold, answer)


def _digits(gold: Node, answer: Node) -> Opinion | None:
    """Constants that agree to 40 digits, or to thousands where a term is that small beside another."""
    for bits, close in ((numeric.BITS, numeric.BITS * 6 // 10), (numeric.MORE_BITS, numeric.MORE_BITS * 85 // 100)):
        try:
            (a, b), drowned = numeric.values([gold, answer], bits=bits)
        except Lost:
            continue
        except NoValue:
            return None
        gap, scale = abs(a - b), max(abs(a), abs(b))
        if gap > scale * numeric.points().ldexp(1, -close) and not (scale < _VANISHING and (a == 0 or b == 0)):
            near = bits == numeric.BITS and gap <= scale * numeric.points().ldexp(1, -close // 2)
            return None if near and not drowned else different("60 digits")
        if not drowned:
            return equal(DIGITS)
    return None


def _functions(gold: Node, answer: Node, names: list[str]) -> Opinion | None:
    """Two functions: at many points where they may have steps or corners, or where too few points tell."""
    both = (gold, answer)
    sums = any(isinstance(part, Big) for node in both for part in walk(node))
    if not sums and any(map(stepped, both)):
        return compare_spread(gold, answer, names)
    opinion = _at_points(gold, answer, names)
    if sums or (opinion is not None and not (opinion[0] == "equal" and any(map(cornered, both)))):
        return opinion
    wider = compare_spread(gold, answer, names, smooth=True)
    return wider if opinion is None or (wider and wider[0] != "equal") else opinion


def _at_points(gold: Node, answer: Node, names: list[str]) -> Opinion | None:
    """Values where all symbols are positive, then where some are negative; complex and infinite ones tell nothing."""
    context = numeric.points()
    imaginary = any(part == Const("i") for node in (gold, answer) for part in walk(node))
    positive = negative = 0
    whole = counted(gold) | counted(answer)
    for point in _points(names, whole):
        try:
            (a, b), drowned = numeric.values([gold, answer], point)
        except NoValue:
            continue
        if not imaginary and (context.im(a) != 0 or context.im(b) != 0):
            continue
        gap, scale = abs(a - b), max(abs(a), abs(b))
        above = min(point.values(), default=1) > 0
        if gap <= scale * 1e-40 or (scale < _VANISHING and (a == 0 or b == 0)):
            positive, negative = positive + (above and not drowned), negative + (not above and not drowned)
        elif gap <= scale * 1e-20:
            return None
        elif above or not positive:
            return different(IDENTITY)
        else:
            return undecided("they agree where all symbols are positive and differ elsewhere")
    return equal(IDENTITY) if positive + negative >= 2 else None


def positive_points(names: list[str]) -> list[dict[str, Fraction]]:
    """Points with all symbols positive; for constants the empty one."""
    return [_point(names, turn) for turn in range(_POSITIVE)] if names else [{}]


def _points(names: list[str], whole: frozenset[str]) -> list[dict[str, Fraction]]:
    """Points with all symbols positive, then one with each negative, then all; what is counted to is a positive integer."""
    positive = positive_points(names)
    if whole:
        chosen = [_point(names, turn) for turn in range(len(_INTEGERS))]
        positive = [
            {
                name: Fraction(_INTEGERS[turn] + 2 * place) if name in whole else value
                for place, (name, value) in enumerate(point.items())
            }
            for turn, point in enumerate(chosen)
        ]
    signed = [name for name in names if name not in whole]
    flipped = [{**positive[0], name: -positive[0][name]} for name in signed[:_FLIPPED]]
    return [*positive, *flipped, {name: value if name in whole else -value for name, value in positive[1].items()}]


def counted(node: Node) -> frozenset[str]:
    """Symbols in the bounds of sums and in functions of integers."""
    found = frozenset[str]()
    for part in walk(node):
        if isinstance(part, Big):
            found |= symbols(part.low) | symbols(part.high)
        elif isinstance(part, Call) and part.name in ("factorial", "binom", "gcd", "lcm", "mod"):
            found |= symbols(part)
    return found


def _point(names: list[str], turn: int) -> dict[str, Fraction]:
    point = {}
    for place, name in enumerate(names):
        top, bottom = _PLACES[(place * 3 + turn * 2) % len(_PLACES)]
        value = Fraction(top, bottom) + Fraction(place * 7 + turn, 19) + place // len(_PLACES)
        point[name] = value / 4 if turn == 1 else value
    return point


def _approximately(gold: Node, answer: Node, names: list[str]) -> bool:
    """Whether the decimals of one side, of four digits or more, can stand for values that make both equal, at three points."""
    if _rounds_off(gold) == _rounds_off(answer):
        return False
    for turn in range(_POSITIVE if names else 1):
        try:
            a, b = (numeric.enclosure(node, _point(names, turn), rounded=True) for node in (gold, answer))
        except NoValue:
            return False
        scale = max(abs(a).b, abs(b).b)
        if a.b < b.a or b.b < a.a or max(a.delta.b, b.delta.b) > scale / 500:
            return False
    return True


def _rounds_off(node: Node) -> bool:
    return any(isinstance(part, Num) and part.digits >= LEAST_DIGITS for part in walk(node))
