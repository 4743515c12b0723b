"""Which rows are taken: by date, level and subject. A row that does not say is refused, never kept or left out in silence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from k2core.errors import ConfigError

from .rows import DATES, LEVELS, SUBJECTS, Row

_RANGE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(?:(\+)|(?:-|\.\.)\s*(\d+(?:\.\d+)?))?\s*$")


def in_window(row: Row, since: date | None, until: date | None) -> bool:
    """Whether its date lies within the days, both included. Raises `ConfigError` for a row without a date."""
    if since is None and until is None:
        return True
    if (day := row.day) is None:
        raise ConfigError(f"{row.where}: has no date ({', '.join(DATES)}), so it cannot be told whether it lies in the window")
    return (since is None or day >= since) and (until is None or day <= until)


def at_level(row: Row, levels: Sequence[str]) -> bool:
    """Whether its level is one of those wanted: `5`, `4-5`, `9+`, or a word such as `hard`."""
    if not levels:
        return True
    if (level := row.find(LEVELS)) is None:
        raise ConfigError(f"{row.where}: has no level ({', '.join(LEVELS)}), and only levels {', '.join(levels)} are wanted")
    return any(_fits(str(level), wanted) for wanted in levels)


def on_subject(row: Row, subjects: Sequence[str]) -> bool:
    """Whether one of the words stands in its subject, whatever the case."""
    if not subjects:
        return True
    found = [row.data[name] for name in SUBJECTS if row.data.get(name) is not None]
    if not found:
        raise ConfigError(f"{row.where}: has no subject ({', '.join(SUBJECTS)}), and only {', '.join(subjects)} are wanted")
    return any(subject.lower() in text for subject in subjects for text in _texts(found))


def _fits(level: str, wanted: str) -> bool:
    number = _number(level)
    match = _RANGE.match(wanted)
    if match is None or number is None:
        return level.strip().lower() == wanted.strip().lower()
    low = float(match[1])
    high = float("inf") if match[2] else float(match[3] or match[1])
    return low <= number <= high


def _number(level: str) -> float | None:
    """5 for `5`, `5.0` and `Level 5`."""
    try:
        return float(level.lower().removeprefix("level"))
    except ValueError:
        return None


def _texts(values: Sequence[Any]) -> list[str]:
    return [str(text).lower() for value in values for text in (value if isinstance(value, list | tuple) else [value])]
