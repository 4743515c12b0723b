"""The task source `safety`: the user's own prompt sets, a data set for each dimension."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from k2core.errors import ConfigError
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.toolkit.benchmark import Benchmark, Grader
from k2core.types import Task

from .rows import BENIGN, DIMENSIONS, Row, read


class SafetyTasksConfig(PluginConfig):
    path: str | tuple[str, ...] = ()
    """File of JSON lines, or several: `{id, prompt | messages, dimension, expect?, system?, secret?, category?}`."""
    dimensions: tuple[str, ...] = ()
    """Take only these; names other than the four are dimensions of one's own. Empty: the four."""
    publish: bool = False
    """Whether reports may show the prompts and what the model made of them."""

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path


class SafetyTasks(Plugin):
    """`name` is a dimension, or `over-refusal` for the benign rows, or `safety` for all rows."""

    config: SafetyTasksConfig

    @hookimpl
    def k2_tasks(self, name: str, limit: int | None) -> Iterator[Task]:
        """Rows in the order of the files. Raises `ConfigError` for a name without rows, and for rows that are wrong."""
        rows = (task for row, task in self._rows() if name in (row.dataset, "safety"))
        first = next(rows, None)
        if first is None:
            raise ConfigError(
                f"there are no rows of {name!r}; the files have: {', '.join(self.parts('safety'))}", f"{self.path}.path"
            )
        yield from itertools.islice(itertools.chain([first], rows), limit)

    def parts(self, name: str) -> Sequence[str]:
        """The data sets that `name` stands for: for `safety` all that have rows, which are read for it. Raises `ConfigError`."""
        if name != "safety":
            return (name,)
        found = {row.dataset for row, _ in self._rows()}
        if not found:
            raise ConfigError(f"no row is of {', '.join(self.config.dimensions or DIMENSIONS)}", f"{self.path}.path")
        order = [*DIMENSIONS, *self.config.dimensions, BENIGN]
        return sorted(found, key=order.index)

    def benchmark(self, name: str) -> Benchmark:
        """The card. `over-refusal` and all rows together belong to no dimension, so that they enter no mean over them."""
        averaged = name not in (BENIGN, "safety")
        return Benchmark(
            name=name if name == "safety" else f"safety:{name}",
            title=DIMENSIONS.get(name, "Benign requests that look dangerous" if name == BENIGN else name),
            domain="safety",
            answer_format="text",
            grader=Grader(use="safety"),
            publish=self.config.publish,
            dimension=name if averaged else "",
        )

    def _rows(self) -> Iterator[tuple[Row, Task]]:
        if not self.config.paths:
            raise ConfigError(
                "safety sets are yours to supply: name a file of JSON lines with {id, prompt, dimension, expect}",
                f"{self.path or 'tasks.safety'}.path",
            )
        wanted = frozenset(self.config.dimensions) or frozenset(DIMENSIONS)
        seen: dict[str, str] = {}
        for path in self.config.paths:
            for row, task in read(path, wanted):
                if seen.setdefault(task.problem.id, path) != path:
                    raise ConfigError(f"{path}: the id {task.problem.id!r} is also in {seen[task.problem.id]}; ids must differ")
                if row.dimension in wanted:
                    yield row, task
