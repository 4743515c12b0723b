"""Duplicates within evaluation sets, and between them."""

from __future__ import annotations

from collections.abc import Sequence

from .find import KINDS, find
from .index import Index, Item
from .report import Twins

TOGETHER = 500


def twins(items: Sequence[Item]) -> tuple[Twins, ...]:
    """The pairs of problems of which one holds the other or something like it; each pair once, by its better side."""
    index = Index(items)
    best: dict[tuple[int, int], Twins] = {}
    for start in range(0, len(items), TOGETHER):
        some = items[start : start + TOGETHER]
        for found in find(index, [item.text for item in some], range(start, start + len(some))):
            if found.kind == "possible":
                continue
            one, other = items[found.problem], items[start + found.row]
            pair = (min(found.problem, start + found.row), max(found.problem, start + found.row))
            twin = Twins(
                kind=found.kind, task=one.task, id=one.id, other_task=other.task, other_id=other.id,
                score=found.score, numbers=found.numbers,
            )  # fmt: skip
            if pair not in best or _order(twin) < _order(best[pair]):
                best[pair] = twin
    return tuple(best[pair] for pair in sorted(best))


def _order(twin: Twins) -> tuple[int, float, str, str]:
    return KINDS.index(twin.kind), -twin.score, twin.task, twin.id
