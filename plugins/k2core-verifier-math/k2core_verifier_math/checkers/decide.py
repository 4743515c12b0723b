"""The whole comparison of two texts: read them, ask the checkers, try the other readings of a comma."""

from __future__ import annotations

from ..reading.answer import read
from ..reading.nodes import Add, Bracket, Call, Dots, Items, Mul, Node, Num, Text, children, walk
from ..reading.text import tidy
from .opinions import Opinion, different, equal, undecided
from .rewrite import rebuild
from .structure import Leaf, Structure, plain
from .undefined import undefined
from .wording import compare_choices

_LARGE = 400
"""Records in two answers above which no opinion is formed here."""


def decide(gold: str, answer: str, leaf: Leaf, *, large: int = _LARGE) -> Opinion | None:
    """The opinion on two texts; None where they cannot be read, or where no checker below `leaf` can tell."""
    if gold.strip() == answer.strip() or tidy(gold) == tidy(answer):
        return equal("the same text")
    if not answer.strip():
        return different("an empty answer")
    pair = read(gold), read(answer)
    if choice := compare_choices(*pair, (gold, answer)):
        return choice
    if pair[0] is None or pair[1] is None:
        return None
    records = [*walk(pair[0]), *walk(pair[1])]
    if len(records) > large:
        return None
    if Dots() in records:
        return equal("the same expression") if pair[0] == pair[1] else undecided("an ellipsis does not say what it stands for")
    missing = undefined(pair[0]), undefined(pair[1])
    if pair[0] != pair[1] and any(missing):
        return undecided("the reference is undefined") if missing[0] else different("the answer is undefined")
    if any(map(_mixed, records)):
        return _by_reading(pair[0], pair[1], leaf)
    opinion = Structure(leaf).same(pair[0], pair[1])
    if opinion is not None and opinion[0] != "different":
        return opinion
    for other in _other_readings(gold, answer, pair[0], pair[1]):
        found = Structure(leaf).same(*other)
        if found is not None and found[0] == "equal":
            return found
    return opinion


def _by_reading(gold: Node, answer: Node, leaf: Leaf) -> Opinion | None:
    """With an improper fraction behind an integer read as their sum and as their product: what both readings say."""
    kinds: tuple[type[Add | Mul], ...] = (Add, Mul)
    readings = [(_resolved(gold, one), _resolved(answer, other)) for one in kinds for other in kinds]
    opinions = [Structure(leaf).same(*pair) for pair in dict.fromkeys(readings)]
    if gold == answer or len({opinion and opinion[0] for opinion in opinions}) == 1:
        return opinions[0]
    return undecided("an improper fraction behind an integer may be meant as a sum or as a product")


def _resolved(node: Node, kind: type[Add | Mul]) -> Node:
    if isinstance(node, Call) and _mixed(node):
        return kind(node.args)
    return rebuild(node, lambda part: _resolved(part, kind)) if children(node) else node


def _mixed(node: Node) -> bool:
    return isinstance(node, Call) and node.name == "mixed"


def _other_readings(gold: str, answer: str, a: Node, b: Node) -> list[tuple[Node, Node]]:
    """1,234 against a list is a list, 1,5 against a number is 1.5, a word against a product is a product."""
    found: list[tuple[Node | None, Node | None]] = []
    if "," in gold + answer and (_several(a) != _several(b)):
        found += [(read(gold, "list"), b), (a, read(answer, "list"))]
        if any(isinstance(node, Num) and node.ulp is not None for node in (a, b)):
            found.append((read(gold, "decimal"), read(answer, "decimal")))
    if isinstance(a, Text) != isinstance(b, Text):
        found.append((read(gold, letters=True), read(answer, letters=True)))
    return [(x, y) for x, y in found if x is not None and y is not None]


def _several(node: Node) -> bool:
    return isinstance(plain(node), Items | Bracket)
