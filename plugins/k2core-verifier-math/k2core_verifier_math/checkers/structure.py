"""Which records are compared with which, and how: the structure of answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TypeAlias

from ..reading.names import WITHOUT
from ..reading.nodes import (
    Bracket,
    Builder,
    Choice,
    Const,
    Items,
    Matrix,
    Mod,
    Node,
    Noted,
    PlusMinus,
    Quantity,
    Rel,
    SetOp,
    Sym,
    Text,
    children,
    is_value,
    negative,
    walk,
)
from .opinions import STRUCTURE, Opinion, different, equal, every, undecided
from .quantities import SPECIAL, based, compare_based, compare_degrees, compare_quantities
from .relations import assigned, compare_relations, compare_residues, compare_with_value, value_of
from .rewrite import degrees, rebuild, worked_out
from .rules import compare_rules, extended
from .sets import compare_sets, set_like
from .wording import compare_words

Leaf: TypeAlias = Callable[[Node, Node], Opinion | None]
_SIGNS = 3
"""Most signs of either kind in one answer: two to the power of it are its values."""
_DEEPEST = 20
"""Deepest nesting of lists, relations and the like."""
_FORMS = 4
"""So many ways of writing one answer are looked through."""
_MATCHES = 400
"""Most comparisons to match the items of two lists."""


class Structure:
    """Compares records; two expressions are left to `leaf`."""

    def __init__(self, leaf: Leaf) -> None:
        self.leaf, self.matches, self.depth = leaf, 0, 0

    def same(self, gold: Node, answer: Node) -> Opinion | None:
        """The opinion on two records; None where nothing here can tell."""
        if gold == answer:
            return equal("the same expression")
        if self.depth > _DEEPEST:
            return None
        self.depth += 1
        try:
            return self.unequal(gold, answer)
        finally:
            self.depth -= 1

    def unequal(self, gold: Node, answer: Node) -> Opinion | None:
        if isinstance(gold, Noted) or isinstance(answer, Noted):
            return self.noted(gold, answer)
        gold, answer = plain(gold), plain(answer)
        if isinstance(gold, Text) or isinstance(answer, Text):
            if isinstance(gold, Text) and isinstance(answer, Text):
                return compare_words(gold, answer)
            numbered = any(char.isdigit() for node in (gold, answer) if isinstance(node, Text) for char in node.words)
            return undecided("words with a number against a formula") if numbered else different("words against a formula")
        if (opinion := compare_rules(gold, answer, self.same)) is not None:
            return opinion
        if isinstance(gold, Rel) or isinstance(answer, Rel):
            return self.related(gold, answer)
        if set_like(gold) or set_like(answer):
            return self.sets(gold, answer)
        if (based(gold) or based(answer)) and not isinstance(gold, Items) and not isinstance(answer, Items):
            return compare_based(gold, answer, self.same)
        if isinstance(gold, SPECIAL) or isinstance(answer, SPECIAL):
            return compare_quantities(gold, answer, self.same)
        if isinstance(gold, Items) or isinstance(answer, Items):
            return self.items(gold, answer)
        return self.single(gold, answer)

    def single(self, gold: Node, answer: Node) -> Opinion | None:
        kinds = (Bracket, Matrix, Mod, Builder, Choice)
        if isinstance(gold, Matrix | Bracket) and isinstance(answer, Matrix | Bracket):
            return self.ordered(gold, answer)
        if isinstance(gold, Mod) or isinstance(answer, Mod):
            if isinstance(gold, Mod) and isinstance(answer, Mod):
                return compare_residues(gold, answer, self.same)
            pair = (gold.value, answer) if isinstance(gold, Mod) else (gold, answer.value if isinstance(answer, Mod) else answer)
            return self.same(*pair)
        if isinstance(gold, kinds) or isinstance(answer, kinds) or is_value(gold) != is_value(answer):
            return different("answers of different kinds")
        if degrees(gold) is not None or degrees(answer) is not None:
            return compare_degrees(gold, answer, self.leaf)
        return self.leaf(gold, answer)

    def noted(self, gold: Node, answer: Node) -> Opinion | None:
        """A remark on one side only is overlooked; two that differ leave open what is equal without them."""
        notes = [node.note if isinstance(node, Noted) else "" for node in (gold, answer)]
        pair = [node.value if isinstance(node, Noted) else node for node in (gold, answer)]
        opinion = self.same(pair[0], pair[1])
        if opinion and opinion[0] == "equal" and all(notes) and notes[0] != notes[1]:
            return undecided("equal but for the remarks on them")
        return opinion

    def related(self, gold: Node, answer: Node) -> Opinion | None:
        if set_like(gold) and set_like(answer) and (opinion := compare_sets(gold, answer, self.same)):
            return opinion
        if isinstance(gold, Rel) and isinstance(answer, Rel):
            pair = value_of(gold), value_of(answer)
            if pair[0] is not None and pair[1] is not None and ("∈" in gold.ops or "∈" in answer.ops):
                return self.same(pair[0], pair[1])
            return compare_relations(gold, answer, self.same)
        relation, other = (gold, answer) if isinstance(gold, Rel) else (answer, gold)
        assert isinstance(relation, Rel)
        value = value_of(relation)
        if value is not None:
            opinion = self.same(value, answer) if relation is gold else self.same(gold, value)
            solved = (
                opinion
                and opinion[0] == "different"
                and relation is gold
                and set(relation.ops) == {"="}
                and assigned(relation) is None
            )
            return compare_with_value(relation, other, is_reference=True, same=self.same) if solved else opinion
        if set_like(relation) and not isinstance(other, Items) and (opinion := self.sets(gold, answer)) is not None:
            return opinion
        if isinstance(other, Items) and len(other.items) == 1:
            return self.same(relation, other.items[0]) if relation is gold else self.same(other.items[0], relation)
        return compare_with_value(relation, other, is_reference=relation is gold, same=self.same)

    def sets(self, gold: Node, answer: Node) -> Opinion | None:
        if (opinion := compare_sets(gold, answer, self.same)) is not None:
            return opinion
        if isinstance(gold, Items) and isinstance(answer, Items):
            return self.items(gold, answer)
        if isinstance(gold, SetOp) and isinstance(answer, SetOp) and gold.op == answer.op:
            return self.unordered(gold.parts, answer.parts) if gold.op != WITHOUT else self.pairwise(gold.parts, answer.parts)
        if isinstance(gold, Builder) and isinstance(answer, Builder):
            if len(gold.conditions) != len(answer.conditions):
                return None
            opinions = self.same(gold.element, answer.element), self.unordered(gold.conditions, answer.conditions)
            whole = every(opinions)
            return whole if whole and whole[0] == "equal" else None
        if isinstance(gold, Const) and isinstance(answer, Const):
            return different(STRUCTURE)
        return different("a set against a value") if self.of_other_kind(gold, answer) else None

    def of_other_kind(self, gold: Node, answer: Node) -> bool:
        """Whether one side has an interval that is no point, and the other is values only, or a tuple of other than two."""
        for one, other in ((gold, answer), (answer, gold)):
            values = other.items if isinstance(other, Items) else (other,)
            ordered = isinstance(other, Matrix) or (isinstance(other, Bracket) and len(other.items) != 2)
            if (ordered or (all(map(is_value, values)) and not any(map(set_like, values)))) and extended(one):
                return True
        return False

    def items(self, gold: Node, answer: Node) -> Opinion | None:
        """Several answers: in any order, unless the other side is a tuple."""
        for node, other in ((gold, answer), (answer, gold)):
            if isinstance(node, Items) and len(node.items) == 1 and not (isinstance(other, Items) and len(other.items) == 1):
                return self.same(*((node.items[0], other) if node is gold else (other, node.items[0])))
        if isinstance(gold, Items) and isinstance(answer, Items):
            return self.unordered(self.values(gold.items, answer.items), self.values(answer.items, gold.items))
        items, other = (gold, answer) if isinstance(gold, Items) else (answer, gold)
        assert isinstance(items, Items)
        if isinstance(other, Bracket | Matrix) and items.kind == "list":
            listed = Bracket("(", ")", self.values(items.items, children(other)))
            return self.ordered(*((listed, other) if items is gold else (other, listed)))
        if isinstance(other, Bracket | Matrix):
            return different("a set against a tuple")
        if len(set(items.items)) == 1:
            opinion = self.same(items.items[0], other)
            return undecided("a different number of answers") if opinion and opinion[0] == "equal" else opinion
        if len(set(items.items)) == len(items.items) <= _FORMS:
            opinions = [self.same(*((item, other) if items is gold else (other, item))) for item in items.items]
            if (forms := every(opinions)) and forms[0] == "equal":
                return forms  # one answer, written in several ways
        return different("a different number of answers")

    def values(self, items: tuple[Node, ...], others: tuple[Node, ...]) -> tuple[Node, ...]:
        """The values of x = 1, y = 2 where the other side gives bare values, or of a = 4, 5 where the name is given once."""
        named = [isinstance(item, Rel) and assigned(item) is not None for item in items]
        if any(named) and (not all(named) or not all(isinstance(other, Rel) for other in others)):
            return tuple(value_of(item) or item if isinstance(item, Rel) else item for item in items)
        return items

    def ordered(self, gold: Bracket | Matrix, answer: Bracket | Matrix) -> Opinion | None:
        if isinstance(gold, Matrix) and isinstance(answer, Matrix):
            if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
                return different("matrices of different shape")
        elif isinstance(gold, Bracket) and isinstance(answer, Bracket):
            ends = (gold.opening, gold.closing), (answer.opening, answer.closing)
            if len(gold.items) == len(answer.items) == 2 and ends[0] != ends[1] and "⟨" not in ends[0] + ends[1]:
                return different("open and closed ends")
        else:
            matrix = gold if isinstance(gold, Matrix) else answer
            assert isinstance(matrix, Matrix)
            if len(matrix.rows) > 1 and len(matrix.rows[0]) > 1:
                return different("a matrix against a tuple")
        return self.pairwise(children(gold), children(answer))

    def pairwise(self, gold: tuple[Node, ...], answer: tuple[Node, ...]) -> Opinion | None:
        if len(gold) != len(answer):
            return different("a different number of entries")
        return every(self.same(a, b) for a, b in zip(gold, answer, strict=True))

    def unordered(self, gold: tuple[Node, ...], answer: tuple[Node, ...]) -> Opinion | None:
        """Match every item with an equal one of the other side. Equality is transitive, so the first match will do."""
        if len(gold) != len(answer):
            gold, answer = tuple(dict.fromkeys(gold)), tuple(dict.fromkeys(answer))
        left, opinions, doubt = list(answer), list[Opinion](), False
        for item in gold:
            if item in left:
                left.remove(item)
                continue
            for place, other in enumerate(left):
                self.matches += 1
                opinion = self.same(item, other) if self.matches < _MATCHES else None
                if opinion is not None and opinion[0] == "equal":
                    opinions.append(opinion)
                    del left[place]
                    break
                doubt = doubt or opinion is None or opinion[0] == "undecided"
            else:
                return None if doubt else different("an item without its equal")
        if left:
            return None if doubt else different("a different number of answers")
        return every(opinions)


def plain(node: Node) -> Node:
    """With matrices worked out, both signs written out, and one answer out of braces or of a name in brackets."""
    if isinstance(node, Items) and len(node.items) == 1 and set_like(node):
        return node.items[0]
    if isinstance(node, Items):
        return Items(node.kind, tuple(item for part in node.items for item in _spread(part)))
    spread = _spread(worked_out(node))
    return spread[0] if len(spread) == 1 else Items("list", tuple(spread))


def _spread(node: Node) -> list[Node]:
    """The values of an expression with signs of either kind; independent ones, unless some are opposite to others."""
    if isinstance(node, Bracket | Items | Matrix):
        return [node]
    if (
        isinstance(node, Rel)
        and len(node.sides) > 2
        and set(node.ops) == {"="}
        and all(isinstance(side, Sym) for side in node.sides[:-1])
    ):
        return [Rel(("=",), (name, node.sides[-1])) for name in node.sides[:-1]]
    if isinstance(node, Rel) and len(node.sides) == 2 and node.ops == ("=",):
        return [Rel(node.ops, (node.sides[0], value)) for value in _spread(node.sides[1])]
    if isinstance(node, Quantity):
        return [Quantity(value, node.unit) for value in _spread(node.value)]
    signs = [part for part in walk(node) if isinstance(part, PlusMinus)]
    if not signs or len(signs) > _SIGNS:
        return [node]
    tied = any(part.sign < 0 for part in signs)
    choices = [(1,) * len(signs), (-1,) * len(signs)] if tied else list(product((1, -1), repeat=len(signs)))
    return [_signed(node, iter(choice).__next__) for choice in choices]


def _signed(node: Node, choose: Callable[[], int]) -> Node:
    if isinstance(node, PlusMinus):
        positive = node.sign * choose() > 0
        inside = _signed(node.value, choose)
        return inside if positive else negative(inside)
    return rebuild(node, lambda part: _signed(part, choose)) if children(node) else node
