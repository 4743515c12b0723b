"""Values that do not exist, by exact arithmetic: a division by zero, a logarithm of zero."""

from __future__ import annotations

from ..reading.nodes import Call, Node, Num, Pow, walk
from .normal import normal, rational


def undefined(node: Node) -> bool:
    """Whether a part of an expression is certain to have no value, whatever its symbols are."""
    return any(
        (isinstance(part, Pow) and _vanishes(part.base) and (rational(part.exponent) or 0) < 0)
        or (isinstance(part, Call) and part.name in ("ln", "log") and any(map(_vanishes, part.args)))
        for part in walk(node)
    )


def _vanishes(node: Node) -> bool:
    return node.value == 0 if isinstance(node, Num) else normal(node) == {}
