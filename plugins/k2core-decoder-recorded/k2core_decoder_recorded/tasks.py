"""The task source `recorded`: the problems of a file of stored completions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.toolkit.benchmark import Benchmark, Grader, Source
from k2core.types import Problem, Task

from .store import Line, read_lines


class RecordedTasksConfig(PluginConfig):
    """Options of the task source."""

    id_field: str = "pid"
    """Field of a row that holds the id of its problem; it becomes `Problem.id`, by which the decoder finds completions."""
    problem_field: str = "problem"
    """Field with the problem's text; where it is missing, `prompt` is read."""
    gold_field: str = "gold"
    """Field with the reference answer; rows may lack it."""
    domain: str = "math"
    """`Problem.domain` of all tasks."""
    answer_format: Literal["boxed", "tag", "choice", "number", "text", "code", "json"] = "boxed"
    """`Problem.answer_format` of all tasks."""


class RecordedTasks(Plugin):
    """Tasks from a file of stored completions; the data set's name is its path."""

    config: RecordedTasksConfig

    @hookimpl
    def k2_tasks(self, name: str, split: str, limit: int | None) -> Iterable[Task]:
        """Each problem once, in the order of the file. Rows with a `split` field belong to that split alone, others to all."""
        return itertools.islice(self._tasks(Path(name).expanduser(), split), limit)

    def benchmark(self, name: str) -> Benchmark:
        """The card, from the options; a file of completions says nothing about its problems' licence."""
        return Benchmark(
            name=f"recorded:{name}",
            title=Path(name).name,
            domain=self.config.domain,
            answer_format=self.config.answer_format,
            prompt="{problem}",
            grader=Grader(use="code" if self.config.domain == "code" else "math"),
            source=Source(files=(Path(name).name,)),
        )

    def _tasks(self, path: Path, split: str) -> Iterator[Task]:
        seen = set[str]()
        for line in read_lines(path):
            name = line.get(self.config.id_field, str)
            if name not in seen and line.row.get("split", split) == split:
                seen.add(name)
                yield self._task(line, name)

    def _task(self, line: Line, name: str) -> Task:
        config = self.config
        text = line.get(config.problem_field if config.problem_field in line.row else "prompt", str)
        gold = line.row.get(config.gold_field)
        try:
            problem = Problem(id=name, prompt=text, domain=config.domain, answer_format=config.answer_format)
        except ValueError as error:
            raise ValueError(f"{line.where}: {error}") from error
        return Task(problem=problem, reference=None if gold is None else str(gold))
