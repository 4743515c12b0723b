"""What a search for contamination found. `contamination.json` is a `Report`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k2core.types import Record

from ..statistics.records import Estimate
from .find import Kind

VERSION = 1


class Match(Record):
    """A place in the training data where a problem was found."""

    kind: Kind
    file: str
    row: int
    """Counted from 1."""
    score: float
    """Likeness, 0..1: 1 for `exact` and `normalised`."""
    ngrams: float
    """Share of the problem's 13-grams that the row holds; 0 where it is less than half."""
    numbers: float | None = None
    """Share of the problem's numbers that stand there as well; None for a problem without any."""
    excerpt: str = ""
    """Empty where the texts may not be published."""

    @property
    def changed(self) -> bool:
        """Whether the row has other numbers: the same task in other numbers, or a twin from the same template."""
        return self.kind in ("ngram", "near") and self.numbers is not None and self.numbers < 0.99


class FoundProblem(Record):
    """A problem that the training data hold."""

    task: str
    place: int
    """Index within its task."""
    id: str
    kind: Kind
    """Of its best match."""
    rows: int
    """In how many rows it was found."""
    matches: tuple[Match, ...]
    """The best few, best first."""

    @property
    def changed(self) -> bool:
        """Whether every row that is told has other numbers than the problem."""
        return all(match.changed for match in self.matches)


class TaskCount(Record):
    """How much of a task was found."""

    task: str
    problems: int
    found: int = 0
    exact: int = 0
    normalised: int = 0
    ngram: int = 0
    near: int = 0
    changed: int = 0
    """Of the n-gram and near ones, those where numbers differ: the same task in other numbers, or a template's twin."""
    possible: int = 0
    """Not found, but short, and with its wording and other numbers in the training data."""
    unsearched: int = 0
    """Of fewer than three tokens, which are not looked for."""


class Training(Record):
    """What was searched."""

    files: int = 0
    rows: int = 0
    characters: int = 0
    damaged: int = 0
    examples: tuple[str, ...] = ()
    """The first of what was damaged, in the order of files."""


class Part(Record):
    """The score of a run on one part of a task."""

    folder: str
    label: str
    task: str
    part: str
    """`all`, `clean`, `dirty`, or `same`: those of the dirty part that do not merely stand there with other numbers."""
    problems: int
    samples: int
    accuracy: Estimate


class Twins(Record):
    """Two problems of the evaluation that are the same or nearly so."""

    kind: Kind
    task: str
    id: str
    other_task: str
    other_id: str
    score: float
    numbers: float | None = None


class Report(Record):
    """All of it."""

    version: int = VERSION
    tasks: tuple[TaskCount, ...]
    found: tuple[FoundProblem, ...] = ()
    possible: tuple[FoundProblem, ...] = ()
    scores: tuple[Part, ...] = ()
    twins: tuple[Twins, ...] | None = None
    """None where nobody asked for them."""
    training: Training = Training()
    method: Mapping[str, Any] = {}

    def dirty(self, task: str, changed: bool = True) -> set[int]:
        """The places of the problems that were found; with `changed` false only of those found with their own numbers."""
        return {one.place for one in self.found if one.task == task and (changed or not one.changed)}
