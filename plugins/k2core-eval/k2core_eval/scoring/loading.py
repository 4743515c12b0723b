"""Loading tasks into a file, so that memory does not grow with their number or the size of their references."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from k2core.config import PipelineConfig
from k2core.errors import ConfigError, boundary
from k2core.registry import Registry, Slot, manager_for
from k2core.toolkit.benchmark import Benchmark, Grader
from k2core.types import Task

from ..records import Referenced
from ..tasks.naming import Named, card_of, expand, parse, tables
from . import leaks

_REMEMBERED = 512
"""Problems with references that are kept in memory."""


@dataclass
class Loaded:
    """One task: where its problems stand in the file."""

    name: str
    source: str
    card: Benchmark
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    digest: str = ""

    @property
    def problems(self) -> int:
        return len(self.offsets)


class Problems:
    """The tasks' problems with their references, in a file of `Referenced` lines."""

    def __init__(self, path: Path) -> None:
        self.path, self.tasks = path, dict[str, Loaded]()
        self.origins: dict[str, str] = {}
        """Distribution and version of each task source, by configuration path."""
        self.get = lru_cache(_REMEMBERED)(self._read)

    def load(
        self,
        names: Sequence[str],
        configured: Mapping[str, Any],
        *,
        data: str | None,
        limit: int | None,
        seed: int,
        registry: Registry | None = None,
    ) -> None:
        """Write the first `limit` problems of every task to the file. Raises `ConfigError` when one has none or leaks."""
        registry = registry or Registry()
        found = tables(names, configured, data, registry)
        slots = {slot.name: slot for slot in registry.assemble(PipelineConfig.from_dict({"tasks": found}))}
        self.origins = {slot.path: slot.origin for slot in slots.values() if slot.origin}
        with self.path.open("wb") as file:
            every = [parse(name, configured, registry) for name in names]
            parts = {part.text: part for named in every for part in expand(named, slots[named.source].plugin)}
            for name, named in sorted(parts.items()):
                self.tasks[name] = _written(file, named, slots[named.source], limit, seed)

    def _read(self, task: str, place: int) -> Referenced:
        with self.path.open("rb") as file:
            file.seek(self.tasks[task].offsets[place])
            return Referenced.model_validate_json(file.readline())

    def lines(self, task: str, start: int, count: int) -> bytes:
        """The problems `start` to `start + count - 1` without their references, a line of JSON each."""
        places = range(start, min(start + count, self.tasks[task].problems))
        return b"".join(self.get(task, place).problem.model_dump_json().encode() + b"\n" for place in places)


def _written(file: Any, named: Named, slot: Slot, limit: int | None, seed: int) -> Loaded:
    card, described = card_of(slot.plugin, named.dataset), hasattr(slot.plugin, "benchmark")
    loaded, digest = Loaded(named.text, named.source, card), hashlib.sha256()
    for place, task in enumerate(_tasks(named, slot, card, limit, seed)):
        leaks.check(task, f"tasks.{named.source}")
        if place == 0 and not described and "code" in (task.problem.domain, task.problem.answer_format):
            loaded.card = card.model_copy(update={"grader": Grader(use="code")})
        record = Referenced(task=named.text, place=place, problem=task.problem, reference=task.reference, meta=task.meta)
        line = record.model_dump_json().encode() + b"\n"
        loaded.offsets.append(file.tell())
        file.write(line)
        digest.update(line)
    if not loaded.offsets:
        raise ConfigError(f"task {named.text!r} has no problems", f"tasks.{named.source}")
    loaded.digest = digest.hexdigest()
    return loaded


def _tasks(named: Named, slot: Slot, card: Benchmark, limit: int | None, seed: int) -> Iterable[Task]:
    manager = manager_for([slot])
    with boundary("tasks", slot.use):
        found = manager.hook.k2_tasks(name=named.dataset, split=card.source.split, limit=limit, seed=seed)
        for place, task in enumerate(found):
            if limit is not None and place >= limit:
                break
            yield task
