"""From the names of tasks to the tasks: mixed by weights, no problem twice, and none on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from k2core.config import PipelineConfig
from k2core.errors import ConfigError, boundary
from k2core.registry import Registry, manager_for
from k2core.types import Task

from . import verl
from .config import TaskOptions

WHERE = "trainer.tasks"
_SHARE = 0.25
"""Of the problems of a source that has no splits: those to measure on, by what they are."""


def load(options: TaskOptions, configured: Mapping[str, Any] | None = None, registry: Registry | None = None) -> list[Task]:
    """The tasks to train on, mixed, and those to measure on, whose `meta` says `split = "validation"`; in a fixed order.

    `configured` are the pipeline's tables under [tasks]. Raises `ConfigError` for names that are unknown or have no problems.
    """
    if not options.train:
        return []
    sources = Sources(options, configured or {}, registry or Registry())
    taken = {_key(task) for name in options.excluded for task in sources.of(name, "test", None)}
    held = list(_mixed(sources, options.validation or options.train, "validation", options.held, taken)) if options.held else []
    train = list(_mixed(sources, options.train, "train", options.count, taken))
    if not train:
        raise ConfigError(f"no problem is left to train on of: {', '.join(options.train)}", WHERE)
    return [*train, *(task.model_copy(update={"meta": {**task.meta, "split": "validation"}}) for task in held)]


def sides(tasks: Iterable[Task]) -> tuple[list[Task], list[Task]]:
    """Tasks to train on, and those whose `meta` says `split = "validation"`."""
    train, held = list[Task](), list[Task]()
    for task in tasks:
        (held if task.meta.get("split") == "validation" else train).append(task)
    return train, held


class Sources:
    """The task sources, by what names of tasks mean."""

    def __init__(self, options: TaskOptions, configured: Mapping[str, Any], registry: Registry) -> None:
        self._options, self._configured, self._registry = options, configured, registry

    def of(self, name: str, split: str, most: int | None) -> Iterator[Task]:
        """The tasks of a name on one side; of a test set all of them. Raises `ConfigError`."""
        path = Path(name).expanduser()
        if path.is_file() and verl.is_verl(path):
            return self._side(verl.tasks(path, self._options.answer_format), split)
        return self._named(name, split, most)

    def _named(self, name: str, split: str, most: int | None) -> Iterator[Task]:
        try:
            from k2core_eval.tasks.naming import parse
        except ImportError as error:
            raise ConfigError("tasks by name need k2core-eval: pip install 'k2core-training[gate]'", WHERE) from error
        try:
            named = parse(name, self._configured, self._registry)
        except ConfigError as error:
            raise ConfigError(str(error), WHERE) from error
        (slot,) = self._registry.assemble(PipelineConfig.from_dict({"tasks": {named.source: dict(named.table)}}))
        made: Iterable[Task]
        with boundary("tasks", slot.use):
            hook = manager_for([slot]).hook.k2_tasks
            if named.source == "jsonl":
                made = self._side(hook(name=named.dataset, split="test", limit=None, seed=self._options.seed), split)
            else:
                made = hook(name=named.dataset, split=split, limit=most, seed=self._options.seed)
            yield from made

    def _side(self, tasks: Iterable[Task], split: str) -> Iterator[Task]:
        """Sources without splits: where some are held back, a problem is on one side for good, by what it is."""
        whole = split == "test" or not self._options.held
        for task in tasks:
            held = int.from_bytes(_key(task)[:4], "big") < _SHARE * 2**32
            if whole or held == (split == "validation"):
                yield task


def _mixed(sources: Sources, names: Mapping[str, float], split: str, count: int, taken: set[bytes]) -> Iterator[Task]:
    """`count` tasks, each from the source that is furthest behind its share; none in `taken`, into which they go."""
    most = 2 * count + len(taken)
    left = {name: _new(sources.of(name, split, most), taken) for name in names}
    given = dict.fromkeys(names, 0)

    def next_of(name: str) -> Task | None:
        task = next(left[name], None)
        if task is None:
            del left[name]
        return task

    def mixed() -> Iterator[Task]:
        while left:
            name = min(left, key=lambda each: (given[each] + 1) / names[each])
            if (task := next_of(name)) is not None:
                given[name] += 1
                yield task

    yield from islice(mixed(), count)


def _new(tasks: Iterator[Task], taken: set[bytes]) -> Iterator[Task]:
    for task in tasks:
        if (key := _key(task)) not in taken:
            taken.add(key)
            yield task


def _key(task: Task) -> bytes:
    """The same for the same question, whatever its spaces and letter case."""
    return hashlib.blake2b(" ".join(task.problem.text.lower().split()).encode(), digest_size=16).digest()
