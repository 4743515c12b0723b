"""From a configuration file and the command line to the pipeline under test, the graders and the task sources."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from k2core.config import PipelineConfig, overridden, read_tables, set_at
from k2core.errors import ConfigError

SCORER = ("grading", "tasks")
"""Tables that go to the scorer alone."""


def read(path: str | None, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables of the pipeline, with the overrides applied, and those of the scorer. Raises `ConfigError`."""
    data = overridden(read_tables(path), overrides)
    scorer = {name: data.pop(name, {}) for name in SCORER}
    for name, table in scorer.items():
        if not isinstance(table, dict) or not all(isinstance(inner, dict) for inner in table.values()):
            raise ConfigError("must hold a table for each task", name)
    data.pop("trainer", None)
    return data, scorer


def applied(data: Mapping[str, Any], options: Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A copy with values set by their paths, and then overrides such as `sampler.n=5`. Raises `ConfigError`."""
    copied = copy.deepcopy(dict(data))
    for path, value in options.items():
        set_at(copied, path, value)
    return overridden(copied, overrides)


def value_at(data: Any, path: str) -> Any:
    """What stands at a dotted path, or None."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def pipeline(data: Mapping[str, Any], path: str | None) -> PipelineConfig:
    return PipelineConfig.from_dict(data, source=path or "the default pipeline")
