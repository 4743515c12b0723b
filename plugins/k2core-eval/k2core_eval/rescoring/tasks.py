"""The task source `evaluation`: the problems of an evaluation's folder, with the cards they had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from k2core.errors import ConfigError
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.toolkit.benchmark import Benchmark
from k2core.types import Task

from ..records import Manifest
from ..store.folder import Folder
from ..tasks.naming import FILES

USE = "evaluation"


class FolderTasksConfig(PluginConfig):
    """Options of the task source."""

    folder: str = ""
    """The evaluation's folder."""
    source: str = ""
    """What stood before the colon of its tasks' names, or the whole name of a task without one."""


class FolderTasks(Plugin):
    """Problems and references out of `problems.jsonl`."""

    config: FolderTasksConfig

    @hookimpl
    def k2_tasks(self, name: str, limit: int | None) -> Iterator[Task]:
        task, taken = self._task(name), 0
        for row in Folder(self.config.folder).problems():
            if row.task == task and (limit is None or taken < limit):
                taken += 1
                yield Task(problem=row.problem, reference=row.reference, meta=row.meta)

    def benchmark(self, name: str) -> Benchmark:
        """The card that the task had in that evaluation."""
        task = self._task(name)
        return next(run.card for run in self._manifest().tasks if run.name == task)

    def _manifest(self) -> Manifest:
        if not self.config.folder:
            raise ConfigError("name the folder of an evaluation", f"{self.path}.folder")
        return Folder(self.config.folder).manifest()

    def _task(self, name: str) -> str:
        known = [run.name for run in self._manifest().tasks]
        wanted = [self.config.source] if name == USE else [f"{self.config.source}:{name}", name]
        found = next((task for task in wanted if task in known), None)
        if found is None:
            raise ConfigError(
                f"{self.config.folder} holds no task {wanted[0]!r}; it has: {', '.join(known)}", f"{self.path}.folder"
            )
        return found


def tables(folder: Folder, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """`[tasks]` tables under which the tasks' own names mean the folder's problems."""
    return {source: {"use": USE, "folder": str(folder.path), "source": source} for source in map(source_of, names)}


def source_of(name: str) -> str:
    """The task source that a task's name means: what stands before the colon, or that of files."""
    return "jsonl" if name.endswith(FILES) and ":" not in name else name.partition(":")[0]
