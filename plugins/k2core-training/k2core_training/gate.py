"""The contamination gate: training rows that hold problems of an evaluation are found before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from k2core.errors import ConfigError

from .data.config import GateOptions

if TYPE_CHECKING:
    from k2core_eval.contamination.index import Index, Item

SAMPLED = 4000
"""Training texts that tell which words are common."""


class Gate:
    """Looks for the problems of evaluations in texts."""

    def __init__(self, options: GateOptions, sample: Iterable[str], where: str = "trainer.gate") -> None:
        """Raises `ConfigError` about `where` for evaluations that cannot be read, or where k2core-eval is missing."""
        self._options = options
        try:
            from k2core_eval.contamination.index import Index
        except ImportError as error:
            raise ConfigError("looking for contamination needs k2core-eval: pip install 'k2core-training[gate]'", where) from error
        items = _items(options, where)
        self._index: Index = Index(items, [text[:20_000] for text in sample])
        self.problems = len(items)

    def found(self, texts: Sequence[str]) -> list[str]:
        """Of each text the problem that it holds and how, or an empty string."""
        from k2core_eval.contamination.find import find

        said = [""] * len(texts)
        for one in find(self._index, texts):
            changed = one.kind in ("ngram", "near") and one.numbers is not None and one.numbers < 0.99
            if one.kind == "possible" or (changed and self._options.other_numbers == "pass"):
                continue
            item = self._index.items[one.problem]
            said[one.row] = said[one.row] or f"{item.task} {item.id} ({one.kind}, {one.score:.2f})"
        return said


def _items(options: GateOptions, where: str) -> list[Item]:
    from k2core_eval.contamination.evaluation import from_file, from_tasks

    items: list[Item] = []
    if options.tasks:
        with _about(f"{where}.tasks"):
            items += from_tasks(options.tasks, options.data or None)
    for file in options.files:
        with _about(f"{where}.files"):
            items += from_file(file)
    return items


@contextmanager
def _about(path: str) -> Iterator[None]:
    """A `ConfigError` within it is one about the option at `path`."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(str(error), path) from error
