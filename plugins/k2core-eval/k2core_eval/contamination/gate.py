"""A gate before training: lets through the texts that hold none of an evaluation's problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from .find import find
from .index import Index, Item

T = TypeVar("T")


class Gate:
    """Knows the problems of evaluations. `sample` are some training texts, to know which words are common in them."""

    def __init__(self, evaluation: Iterable[tuple[str, str]], sample: Iterable[str] = ()) -> None:
        self.index = Index([Item("evaluation", place, name, text) for place, (name, text) in enumerate(evaluation)], sample)

    def problems_in(self, text: str) -> list[str]:
        """The ids of the problems that a training text holds."""
        return [self.index.items[found.problem].id for found in find(self.index, [text]) if found.kind != "possible"]

    def is_clean(self, text: str) -> bool:
        """Whether a training text holds none of the problems."""
        return not self.problems_in(text)

    def clean(self, rows: Iterable[T], text: Callable[[T], str], together: int = 500) -> Iterator[T]:
        """The rows whose text holds none of the problems, in order. Looks at `together` rows at a time, which is faster."""
        some: list[T] = []
        for row in rows:
            some.append(row)
            if len(some) >= together:
                yield from self._clean(some, text)
                some = []
        yield from self._clean(some, text)

    def _clean(self, rows: list[T], text: Callable[[T], str]) -> Iterator[T]:
        dirty = {found.row for found in find(self.index, [text(row) for row in rows]) if found.kind != "possible"}
        yield from (row for i, row in enumerate(rows) if i not in dirty)
