"""Identity of rational functions at random points modulo a prime (Schwartz 1980, Zippel 1979).

Two rational functions of total degree d that differ agree at one random point with a probability of at most 2d/p. With
p = 2^61 - 1, three points and d up to a million that is below 10^-35. The points are fixed, so that keys are: the bound is for
expressions that were not made to meet them. A difference at any point is a proof; denominators divisible by p give no opinion.
"""

from __future__ import annotations

from ..reading.nodes import Add, Const, Mul, Node, Num, Pow, Sym
from .normal import rational

P = (1 << 61) - 1
_POINTS = 3
_SEEDS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class NotRational(Exception):
    """No rational function with rational coefficients, or a pole at this point."""


def residues(node: Node) -> tuple[int, ...] | None:
    """Values at three fixed points that have nothing to do with the expression; None if it is no rational function."""
    try:
        return tuple(_residue(node, seed) for seed in _SEEDS[:_POINTS])
    except NotRational:
        return None


def _residue(node: Node, seed: int) -> int:
    match node:
        case Num(value):
            return value.numerator % P * _inverse(value.denominator) % P
        case Sym(name):
            return _point(name, seed)
        case Const("pi" | "e" as name):
            return _point(f"${name}", seed)
        case Add(terms):
            return sum(_residue(term, seed) for term in terms) % P
        case Mul(factors):
            found = 1
            for factor in factors:
                found = found * _residue(factor, seed) % P
            return found
        case Pow(base, exponent):
            power = rational(exponent)
            if power is None or power.denominator != 1 or abs(power) > 1000:
                raise NotRational
            raised = pow(_residue(base, seed), abs(int(power)), P)
            return raised if power >= 0 else _inverse(raised)
    exact = rational(node)
    if exact is None:
        raise NotRational
    return exact.numerator % P * _inverse(exact.denominator) % P


def _inverse(value: int) -> int:
    if value % P == 0:
        raise NotRational
    return pow(value, P - 2, P)


def _point(name: str, seed: int) -> int:
    """A fixed pseudo-random residue for a name: the same in every process, so that it can be part of a key."""
    state = seed
    for char in name:
        state = (state ^ ord(char)) * 0x100000001B3 % (1 << 64)
        state ^= state >> 29
    return state % (P - 2) + 2
