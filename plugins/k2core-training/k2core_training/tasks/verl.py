"""Rows in the layout of verl, which Guru has as well, as tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError
from k2core.types import Message, Problem, Task

from ..data.chats import Unusable, decoded, text_of, turn_of, turns_of
from ..data.rows import rows

FIELDS = ("reward_model", "prompt")
"""By which such a row is known."""
WHERE = "trainer.tasks"


def is_verl(path: Path) -> bool:
    """Whether the first row of a file is in verl's layout."""
    first = next(rows([path], WHERE), None)
    return first is not None and isinstance(first.value, Mapping) and all(name in first.value for name in FIELDS)


def tasks(path: Path, answer_format: str = "auto") -> Iterator[Task]:
    """The tasks of a file, in its order. Raises `ConfigError` with the row's number for one that is none."""
    for row in rows([path], WHERE):
        if row.fault:
            raise ConfigError(f"{row.place}: {row.fault}: {row.detail}", WHERE)
        try:
            yield task_of(row.value, answer_format)
        except (Unusable, ValueError) as error:
            detail = getattr(error, "detail", "")
            raise ConfigError(f"{row.place}: {error}{f': {detail}' if detail else ''}", WHERE) from error


def task_of(row: Any, answer_format: str = "auto") -> Task:
    """The task of a row. Raises `Unusable` or `ValueError` for one without a prompt or a ground truth."""
    if not isinstance(row, Mapping):
        raise Unusable("malformed", "a row is a table of fields")
    turns = [turn_of(turn, "role", "content") for turn in turns_of(row.get("prompt"))]
    while turns and turns[-1].role == "assistant":
        turns.pop()
    model, extra = decoded(row.get("reward_model")), decoded(row.get("extra_info"))
    reference = text_of(model.get("ground_truth")) if isinstance(model, Mapping) else None
    if reference is None:
        raise Unusable("malformed", "reward_model has no ground_truth")
    ability, source = str(row.get("ability") or "general"), str(row.get("data_source") or "")
    problem = Problem(
        id=_name(source, extra, turns), messages=tuple(turns), domain=ability,
        answer_format=_format(ability) if answer_format == "auto" else answer_format,  # type: ignore[arg-type]
        meta={"data_source": source},
    )  # fmt: skip
    return Task(problem=problem, reference=reference)


def _name(source: str, extra: Any, turns: list[Message]) -> str:
    index = extra.get("index") if isinstance(extra, Mapping) else None
    if index is not None:
        return f"{source}/{index}"
    digest = hashlib.sha256("\n".join(turn.content for turn in turns).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{source}/{digest[:16]}"


def _format(ability: str) -> str:
    return "code" if ability.startswith("code") else "boxed" if ability.startswith("math") else "tag"
