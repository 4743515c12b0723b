"""That no problem carries its own reference answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k2core.errors import ConfigError
from k2core.types import Problem, Task

_SHORT = 3
"""References up to this length, such as a letter or a small number, may well stand in a field by chance."""
_TELLING = ("answer", "expected", "gold", "label", "reference", "result", "solution", "target", "truth")
"""Parts of names under which data sets keep references."""


def check(task: Task, where: str) -> None:
    """Raise `ConfigError` when a field of the problem is the reference, or a telling name in its meta has the reference's value."""
    reference = (task.reference or "").strip()
    if not reference:
        return
    for path, value in _values(task.problem):
        if value.strip() == reference and (len(reference) > _SHORT or _telling(path)):
            raise ConfigError(
                f"problem {task.problem.id!r} carries its own reference answer in {path}: the pipeline would see it; "
                "the task source must keep it in Task.reference alone",
                where,
            )


def _telling(path: str) -> bool:
    return path.startswith("meta") and any(part in path.lower() for part in _TELLING)


def _values(problem: Problem) -> Iterator[tuple[str, str]]:
    """Every string, number and truth value in the problem as text, by its path."""
    yield from (("id", problem.id), ("prompt", problem.prompt), ("domain", problem.domain))
    for place, message in enumerate(problem.messages):
        yield f"messages.{place}", message.content
    yield from _inside("meta", problem.meta)


def _inside(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{path}.{name} (its name)", str(name)
            yield from _inside(f"{path}.{name}", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for place, inner in enumerate(value):
            yield from _inside(f"{path}.{place}", inner)
    elif value is not None:
        yield path, str(value)
