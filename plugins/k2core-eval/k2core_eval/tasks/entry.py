"""What the catalogue holds of a benchmark: its card, and how a row of its data becomes a task."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import AnswerFormat, Benchmark
from k2core.types import Problem, Task

from .rows import IDS, Row

Convert: TypeAlias = Callable[[Row, Benchmark, int], Task | None]
"""Row, card and seed to a task; None for a row that is not part of the set. Raises `ConfigError` for one that does not fit."""
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Entry:
    """A named benchmark."""

    card: Benchmark
    convert: Convert
    about: str = ""
    """What to know before believing a score."""
    hub_files: tuple[str, ...] = ()
    """Files of the hub's data set, where its own configuration does not name the right ones."""
    drop: tuple[str, ...] = ()
    """Columns of the hub's data set that are never read, such as pictures."""
    levels: tuple[str, ...] = ()
    """Levels that make the set, where it is a part of a larger one."""


def fill(template: str, fields: Mapping[str, str]) -> str:
    """The template with `{name}` replaced, in one pass: braces in a value stay what they are."""
    return _FIELD.sub(lambda match: fields.get(match[1], match[0]), template)


def identity(row: Row, name: str, ids: Iterable[str] = IDS) -> str:
    """The row's own id; a number or nothing becomes one with the benchmark's name."""
    found = row.find(ids)
    if isinstance(found, str) and found.strip() and not found.strip().isdigit():
        return found.strip()
    return f"{name}-{row.place if found is None or found == '' else found}"


def make(
    row: Row,
    card: Benchmark,
    fields: Mapping[str, str],
    reference: str | None,
    used: Iterable[str],
    *,
    answer_format: AnswerFormat | None = None,
    template: str = "",
) -> Task:
    """A task whose prompt is the card's template filled in, and whose remaining fields stay with the scorer."""
    shown = posed(
        row,
        id=identity(row, card.name),
        prompt=fill(template or card.prompt or "{problem}", fields),
        domain=card.domain,
        answer_format=answer_format or card.answer_format,
    )
    return Task(problem=shown, reference=reference, meta=row.rest(used))


def posed(row: Row, **fields: Any) -> Problem:
    """A problem. Raises `ConfigError` that names the row when the text is empty or not clean."""
    try:
        return Problem(**fields)
    except ValidationError as error:
        said = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors(include_url=False))
        raise ConfigError(f"{row.where}: {said}") from error


def written(answer: Any) -> str:
    """A reference as text: what is no text or number is JSON."""
    if isinstance(answer, str):
        return answer
    return str(answer) if isinstance(answer, int | float) else json.dumps(answer, ensure_ascii=False)
