"""What is done to an expression before it is evaluated: applications become names, matrices are worked out."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Literal

from ..reading.nodes import (
    Add,
    Apply,
    Big,
    Bracket,
    Builder,
    Call,
    Const,
    Items,
    Matrix,
    Mod,
    Mul,
    Node,
    Noted,
    Num,
    PlusMinus,
    Pow,
    Quantity,
    Ratio,
    Rel,
    SetOp,
    Sym,
    children,
)

Base = Literal["ln"] | Node
_LARGEST = 8


def rewrite(node: Node, base: Base | None = None) -> Node:
    """f(x) becomes a symbol of that name; a logarithm without a base gets one."""
    if isinstance(node, Apply):
        return Sym(f"{node.name}({', '.join(map(str, node.args))})")
    if isinstance(node, Call) and node.name == "log" and len(node.args) == 1 and base is not None:
        inner = rewrite(node.args[0], base)
        return Call("ln", (inner,)) if base == "ln" else Call("log", (inner, base))
    return rebuild(node, lambda part: rewrite(part, base)) if children(node) else node


def rebuild(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same expression of changed parts."""
    match node:
        case Add(terms):
            return Add(tuple(map(change, terms)))
        case Mul(factors):
            return Mul(tuple(map(change, factors)))
        case Pow(inside, exponent):
            return Pow(change(inside), change(exponent))
        case Call(name, args):
            return Call(name, tuple(map(change, args)))
        case Matrix(rows):
            return Matrix(tuple(tuple(map(change, row)) for row in rows))
        case Bracket(opening, closing, items):
            return Bracket(opening, closing, tuple(map(change, items)))
        case Items(kind, items):
            return Items(kind, tuple(map(change, items)))
        case Apply(name, args):
            return Apply(name, tuple(map(change, args)))
        case Big(kind, variable, low, high, body):
            return Big(kind, variable, change(low), change(high), change(body))
    return _rebuilt(node, change)


def _rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    match node:
        case Rel(ops, sides):
            return Rel(ops, tuple(map(change, sides)))
        case SetOp(op, parts):
            return SetOp(op, tuple(map(change, parts)))
        case Ratio(parts):
            return Ratio(tuple(map(change, parts)))
        case Builder(element, conditions):
            return Builder(change(element), tuple(map(change, conditions)))
        case Quantity(value, unit):
            return Quantity(change(value), unit)
        case Noted(value, note):
            return Noted(change(value), note)
        case Mod(value, modulus):
            return Mod(change(value), change(modulus))
        case PlusMinus(sign, value):
            return PlusMinus(sign, change(value))
    return node


def worked_out(node: Node) -> Node:
    """Sums, multiples and products of matrices as one matrix; determinants as a value. Anything else stays as it is."""
    match node:
        case Add(terms):
            parts = [worked_out(term) for term in terms]
            if all(isinstance(part, Matrix) for part in parts) and len({_shape(part) for part in parts}) == 1:
                rows = zip(*(part.rows for part in parts if isinstance(part, Matrix)), strict=True)
                return Matrix(tuple(tuple(Add(entries) for entries in zip(*row, strict=True)) for row in rows))
        case Mul(factors):
            parts = [worked_out(factor) for factor in factors]
            if any(isinstance(part, Matrix) for part in parts):
                return _product(parts)
        case Call("det", (Matrix(rows),)) if len(rows) <= 4 and len(rows) == len(rows[0]):
            return _determinant(rows)
    return node


def _shape(node: Node) -> tuple[int, int]:
    return (len(node.rows), len(node.rows[0])) if isinstance(node, Matrix) else (0, 0)


def _product(parts: list[Node]) -> Node:
    scalars = tuple(part for part in parts if not isinstance(part, Matrix))
    matrices = [part for part in parts if isinstance(part, Matrix)]
    found = matrices[0]
    for other in matrices[1:]:
        if _shape(found)[1] != _shape(other)[0] or max(*_shape(found), *_shape(other)) > _LARGEST:
            return Mul(tuple(parts))
        columns = list(zip(*other.rows, strict=True))
        found = Matrix(
            tuple(
                tuple(Add(tuple(Mul((a, b)) for a, b in zip(row, column, strict=True))) for column in columns) for row in found.rows
            )
        )
    return Matrix(tuple(tuple(Mul((*scalars, entry)) for entry in row) for row in found.rows)) if scalars else found


def _determinant(rows: tuple[tuple[Node, ...], ...]) -> Node:
    if len(rows) == 1:
        return rows[0][0]
    terms = []
    for place, entry in enumerate(rows[0]):
        minor = tuple(row[:place] + row[place + 1 :] for row in rows[1:])
        terms.append(Mul((Num(Fraction((-1) ** place)), entry, _determinant(minor))))
    return Add(tuple(terms))


def degrees(node: Node) -> Node | None:
    """The number of degrees in an angle, as in 45° and 180° - x; None without a sign of degrees outside of functions."""
    match node:
        case Mul(factors) if _DEGREE in factors:
            rest = tuple(part for part in factors if part != _DEGREE)
            return rest[0] if len(rest) == 1 else Mul(rest) if rest else None
        case Mul((sign, Mul() as inside)) if (found := degrees(inside)) is not None:
            return Mul((sign, found))
        case Add(terms):
            parts = [degrees(term) for term in terms]
            if any(part is not None for part in parts):
                return Add(tuple(part or term for part, term in zip(parts, terms, strict=True)))
    return None


_DEGREE = Const("deg")
