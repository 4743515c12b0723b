"""The task source behind every named benchmark, parametrised by the catalogue's entry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from k2core.errors import ConfigError
from k2core.log import get_logger
from k2core.plugin import Plugin, hookimpl
from k2core.toolkit.benchmark import Benchmark, Source
from k2core.types import Task

from . import hub
from .entry import Entry
from .rows import Row, read
from .stream import Selection, limited, tasks

ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")


class BenchmarkConfig(Selection):
    """Where a named benchmark is read from, and which part of it."""

    path: str = ""
    """A local copy: JSON lines, gzipped or not, or parquet, in the hub's layout or with `id`, `problem`, `answer`."""
    data: str = ""
    """Folder in which a local copy is looked for by the names on the card."""
    hub: str = ""
    """Id of another data set on the hub than the card's, of the same layout; give its revision, too."""
    revision: str = ""
    """Full commit of the hub's data set; empty: the one on the card."""


class BenchmarkTasks(Plugin):
    """One named benchmark: a local copy where there is one, else the hub's data set at its pinned commit."""

    config: BenchmarkConfig
    entry: ClassVar[Entry]

    def benchmark(self, name: str = "") -> Benchmark:
        """The card, with the source and the window that the options name. Raises `ConfigError` for another data set."""
        self._known(name)
        card, config = self.entry.card, self.config
        moved = (
            {"hub": config.hub, "revision": config.revision}
            if config.hub
            else {"revision": config.revision or card.source.revision}
        )
        window = (config.since, config.until) if config.since or config.until else card.window
        return card.model_copy(update={"source": card.source.model_copy(update=moved), "window": window})

    @hookimpl
    def k2_tasks(self, name: str, split: str, limit: int | None, seed: int) -> Iterator[Task]:
        """The tasks in the order of the data. `test` is the split that the card names, as data sets call theirs differently.

        Raises `ConfigError`: another name, no data and how to get it, rows that do not fit, ids that occur twice.
        """
        self._known(name)
        return limited(self._tasks(split, seed), limit)

    def found(self) -> Path | None:
        """The local copy that is read, if any. Raises `ConfigError` when `path` names none."""
        if self.config.path:
            path = Path(self.config.path).expanduser()
            if not path.is_file():
                raise ConfigError(f"there is no file {path}", f"{self._table}.path")
            return path
        folder = Path(self.config.data).expanduser()
        names = [f"{name}{ending}" for name in self.entry.card.source.files for ending in ENDINGS]
        return next((folder / name for name in names if self.config.data and (folder / name).is_file()), None)

    @property
    def _table(self) -> str:
        return self.path or f"tasks.{self.entry.card.name}"

    def _known(self, name: str) -> None:
        if name not in ("", self.entry.card.name):
            raise ConfigError(f"there is one data set, {self.entry.card.name!r}, and none {name!r}", self._table)

    def _tasks(self, split: str, seed: int) -> Iterator[Task]:
        card = self.benchmark()
        chosen = self.config if self.config.levels else self.config.model_copy(update={"levels": self.entry.levels})
        wanted = card.source.split if split == "test" else split
        convert = partial(self._convert, card=card, seed=seed)
        count = 0
        for task in tasks(lambda: self._rows(card.source, wanted), convert, chosen, wanted, seed):
            count += 1
            yield task
        if not count:
            raise ConfigError(f"no problem of split {wanted!r} is left of {self.found() or card.source.hub}", self._table)
        if self.config.whole and wanted == card.source.split and card.size not in (None, count):
            get_logger(plugin=self._table).warning("other_size_than_the_published_set", problems=count, published=card.size)

    def _convert(self, row: Row, card: Benchmark, seed: int) -> Task | None:
        return self.entry.convert(row, card, seed)

    def _rows(self, source: Source, split: str) -> Iterator[Row]:
        if (path := self.found()) is not None:
            return read(path)
        try:
            return hub.rows(source, self._table, split, self.entry.hub_files, self.entry.drop)
        except ConfigError as error:
            if self.config.data:
                named = " or ".join(f"{name}{ENDINGS[0]}" for name in source.files) or "no known name"
                raise ConfigError(f"{self.config.data} has no local copy ({named}), and {error}", self._table) from error
            raise


def plugin_for(entry: Entry, module: str) -> type[BenchmarkTasks]:
    """A class of its own for an entry, as entry points name classes."""
    name = "".join(part.capitalize() for part in entry.card.name.replace("-", " ").split())
    about = f"{entry.card.title}. {entry.about}".strip()
    return type(name, (BenchmarkTasks,), {"entry": entry, "__module__": module, "__doc__": about})
