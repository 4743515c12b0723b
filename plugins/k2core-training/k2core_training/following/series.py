"""What `metrics.jsonl` of one or several trainings holds, as lines to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from k2core.errors import ConfigError

from .metrics import NAME, read

FIRST = (
    "loss",
    "reward",
    "eval_loss",
    "eval_accuracy",
    "token_accuracy",
    "eval_token_accuracy",
    "response_length",
    "entropy",
    "common_answer",
)
"""Drawn first, in this order."""


MOST = 1e300
"""Values beyond it are left out, as what is not finite is: their differences cannot be drawn."""


@dataclass(frozen=True)
class Line:
    """One value of one training."""

    label: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """One value of every training that has it."""

    name: str
    lines: tuple[Line, ...]


def panels(folders: Sequence[Path]) -> list[Panel]:
    """A panel for each value, with a line a training. Raises `ConfigError` for what cannot be read or holds nothing."""
    found: dict[str, list[Line]] = {}
    for folder, label in zip(folders, labels(folders), strict=True):
        steps: dict[str, list[int]] = {}
        values: dict[str, list[float]] = {}
        for step, name, value in _points(folder):
            steps.setdefault(name, []).append(step)
            values.setdefault(name, []).append(value)
        if not values:
            raise ConfigError(f"{folder}: {NAME} holds no step yet")
        for name in values:
            found.setdefault(name, []).append(Line(label, tuple(steps[name]), tuple(values[name])))
    names = sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [Panel(name, tuple(found[name])) for name in names]


def _points(folder: Path) -> list[tuple[int, str, float]]:
    try:
        rows = list(read(folder))
    except OSError as error:
        raise ConfigError(f"cannot read the metrics of {folder}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return [
        (row["step"], name, float(value))
        for row in rows
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST
    ]


def labels(folders: Sequence[Path]) -> list[str]:
    """Short and different: the last parts of the paths, as many as it takes."""
    whole = [folder.absolute().parts for folder in folders]
    longest = max(len(parts) for parts in whole)
    for count in range(1, longest + 1):
        short = ["/".join(parts[-count:]) for parts in whole]
        if len(set(short)) == len(set(whole)):
            return short
    return ["/".join(parts) for parts in whole]
