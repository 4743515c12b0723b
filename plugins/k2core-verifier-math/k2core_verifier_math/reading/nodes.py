"""The records that an answer is read into: frozen, comparable, hashable. A difference or a quotient is a sum or a product."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Num:
    """A number as it was written. `ulp` is the unit of the last place of a decimal fraction, None for an exact number."""

    value: Fraction
    ulp: Fraction | None = None
    digits: int = 0
    """Significant digits of a decimal fraction."""


@dataclass(frozen=True, slots=True)
class Sym:
    name: str


@dataclass(frozen=True, slots=True)
class Const:
    r"""`pi`, `e`, `i`, `inf`, `deg` ($\pi/180$), or a set: `R`, `Z`, `N`, `Q`, `C`, `empty`."""

    name: str


@dataclass(frozen=True, slots=True)
class Add:
    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    factors: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Pow:
    base: Node
    exponent: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function that is known by its name."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """A function that only has a name, as f in f(x)."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class PlusMinus:
    """Either sign of a value; `sign` is -1 for the opposite one of another."""

    sign: int
    value: Node


@dataclass(frozen=True, slots=True)
class Big:
    """A sum or product over the integers from `low` to `high`."""

    kind: Literal["sum", "prod"]
    variable: str
    low: Node
    high: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Items:
    """Several answers in no particular order, or a set in braces."""

    kind: Literal["list", "set"]
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Bracket:
    """A tuple, a vector, or an interval with its ends."""

    opening: str
    closing: str
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class SetOp:
    """Parts joined by the sign of a union, an intersection or a difference."""

    op: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Builder:
    """All `element` for which the conditions hold."""

    element: Node
    conditions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Rel:
    """A chain of relations: `sides[0] ops[0] sides[1] ops[1] …`."""

    ops: tuple[str, ...]
    sides: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mod:
    """A residue class: value (mod modulus)."""

    value: Node
    modulus: Node


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value and the words after it: a unit, or what was counted. A percentage has the unit `%`."""

    value: Node
    unit: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base other than ten."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of the day; `half` is "am", "pm" or empty."""

    hours: int
    minutes: int
    half: str


@dataclass(frozen=True, slots=True)
class Ratio:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a remark: "for all real x", "where n is an integer"."""

    value: Node
    note: str


@dataclass(frozen=True, slots=True)
class Text:
    """Words, in lower case and with single blanks."""

    words: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A letter that is marked as a choice, and what follows it."""

    letter: str
    rest: str


@dataclass(frozen=True, slots=True)
class Dots:
    """An ellipsis: it says less than it seems, so it only equals itself in the same surroundings."""


Node: TypeAlias = (
    Num
    | Sym
    | Const
    | Add
    | Mul
    | Pow
    | Call
    | Apply
    | PlusMinus
    | Big
    | Items
    | Bracket
    | SetOp
    | Builder
    | Matrix
    | Rel
    | Mod
    | Quantity
    | Based
    | Clock
    | Ratio
    | Noted
    | Text
    | Choice
    | Dots
)

MINUS_ONE = Num(Fraction(-1))
ONE = Num(Fraction(1))


def negative(node: Node) -> Node:
    if isinstance(node, Num):
        return Num(-node.value, node.ulp, node.digits)
    return Mul((MINUS_ONE, node))


def inverse(node: Node) -> Node:
    return Pow(node, MINUS_ONE)


def children(node: Node) -> tuple[Node, ...]:
    """The records directly inside another."""
    match node:
        case Add(parts) | Mul(parts) | Call(_, parts) | Apply(_, parts) | Items(_, parts) | Bracket(_, _, parts):
            return parts
        case SetOp(_, parts) | Rel(_, parts) | Ratio(parts):
            return parts
        case Pow(base, exponent) | Mod(base, exponent):
            return (base, exponent)
        case PlusMinus(_, value) | Quantity(value, _) | Noted(value, _):
            return (value,)
        case Big(_, _, low, high, body):
            return (low, high, body)
        case Builder(element, conditions):
            return (element, *conditions)
        case Matrix(rows):
            return tuple(entry for row in rows for entry in row)
    return ()


def walk(node: Node) -> list[Node]:
    """A record and everything in it."""
    found, open_ = [], [node]
    while open_:
        found.append(open_.pop())
        open_.extend(children(found[-1]))
    return found


def symbols(node: Node) -> frozenset[str]:
    """Names of the free symbols."""
    names = {part.name for part in walk(node) if isinstance(part, Sym)}
    return frozenset(names - {part.variable for part in walk(node) if isinstance(part, Big)})


def is_value(node: Node) -> bool:
    """Whether a record is a number or an expression, with or without a unit, and no set, tuple, relation or words."""
    sets = ("R", "Z", "N", "Q", "C", "empty")
    kinds = (Num, Sym, Const, Add, Mul, Pow, Call, Apply, PlusMinus, Big, Quantity)
    return all(isinstance(part, kinds) and not (isinstance(part, Const) and part.name in sets) for part in walk(node))
