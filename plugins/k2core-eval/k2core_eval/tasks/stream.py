"""From rows to tasks: filtered, in order, each id once, and no more rows read than are wanted."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from datetime import date

from k2core.errors import ConfigError
from k2core.log import get_logger
from k2core.plugin import PluginConfig
from k2core.types import Task

from .filters import at_level, in_window, on_subject
from .rows import Row

SPLIT = "split"


class Selection(PluginConfig):
    """Options that choose among the rows."""

    since: date | None = None
    """First day of the problems that are taken; a row without a date is then an error."""
    until: date | None = None
    """Last day of the problems that are taken."""
    levels: tuple[str, ...] = ()
    """Levels that are taken: `5`, `4-5`, `9+`, or words such as `hard`."""
    subjects: tuple[str, ...] = ()
    """Words of which one must stand in the row's subject."""
    shuffle: bool = False
    """Draw the order by the seed, and with it which problems a limit takes; all rows are held in memory then."""

    @property
    def whole(self) -> bool:
        """Whether every problem is taken."""
        return not (self.since or self.until or self.levels or self.subjects)


def tasks(
    source: Callable[[], Iterator[Row]], convert: Callable[[Row], Task | None], chosen: Selection, split: str, seed: int
) -> Iterator[Task]:
    """The chosen rows as tasks. Rows with a field `split` belong to that split alone, others to all.

    `source` opens the rows; it is called again for the message about an id that occurs twice, which is a `ConfigError`. Texts
    that occur twice are told to the log. Of each row a hash is kept, and nothing else.
    """
    ids, texts, repeated = set[int](), set[int](), 0
    for row in _ordered(source(), chosen, seed):
        if str(row.data.get(SPLIT) or split) != split or not _wanted(row, chosen) or (task := convert(row)) is None:
            continue
        if (one := hash(task.problem.id)) in ids and (first := _first(source(), convert, task.problem.id, row)):
            raise ConfigError(f"{row.where}: the id {task.problem.id!r} is that of {first} already; ids must be unique")
        repeated += (text := hash(task.problem.prompt)) in texts
        ids.add(one)
        texts.add(text)
        yield task
    if repeated:
        get_logger().warning("duplicate_problems", rows=len(ids), repeated=repeated)


def limited(found: Iterator[Task], limit: int | None) -> Iterator[Task]:
    """At most `limit` of them. Raises `ValueError` for a negative limit."""
    return itertools.islice(found, limit)


def _wanted(row: Row, chosen: Selection) -> bool:
    return in_window(row, chosen.since, chosen.until) and at_level(row, chosen.levels) and on_subject(row, chosen.subjects)


def _ordered(rows: Iterator[Row], chosen: Selection, seed: int) -> Iterator[Row]:
    if not chosen.shuffle:
        return rows
    held = list(rows)
    random.Random(f"order/{seed}").shuffle(held)
    return iter(held)


def _first(rows: Iterator[Row], convert: Callable[[Row], Task | None], name: str, beside: Row) -> str:
    """Where else the id occurs; empty when the hashes only happened to be equal."""
    for row in rows:
        if row.place != beside.place and (task := convert(row)) is not None and task.problem.id == name:
            return row.where
    return ""
