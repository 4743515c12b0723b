"""What `k2 check` tries a plugin with: `[tool.k2core.check.NAME]` of its pyproject.toml, beside the plugin's defaults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from k2core import ConfigError, PluginConfig
from k2core.config import validated

TABLE = "tool.k2core.check"


class CheckSettings(PluginConfig):
    """The settings of the conformance kit that can be written down; a test of the plugin's own can set more."""

    options: Mapping[str, Any] = {}
    """The plugin's options."""
    dataset: tuple[str, str] | None = None
    """Name and split that a tasks plugin is asked for."""
    problem: Mapping[str, Any] | None = None
    """The one problem to try, where the plugin knows only some: fields of `Problem`."""
    tasks: tuple[Mapping[str, str], ...] = (
        {"prompt": "What is 1 + 1?", "reference": "2"},
        {"prompt": "What is 2 + 5?", "reference": "7"},
    )
    """What a trainer trains on: `prompt` and `reference` of each."""
    pipeline: Mapping[str, Any] = {}
    """Further tables of the pipeline that it is tried in."""
    skip: Mapping[str, str] = {}
    """Checks that do not apply, each with the reason."""
    patience: float = Field(default=5.0, gt=0)
    """Seconds within which a cancellation or an error must be through."""
    limit: float = Field(default=60.0, gt=0)
    """Seconds after which one check is given up."""
    import_seconds: float = Field(default=0.25, gt=0)
    """How long importing the module may take, beyond k2core itself."""


def read(file: Path | None) -> dict[str, CheckSettings]:
    """The settings in a pyproject.toml by the entry point's name. Raises `ConfigError`, which names the place in the file."""
    if file is None:
        return {}
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}", "pyproject.toml") from error
    table: Any = data
    for key in TABLE.split("."):
        table = table.get(key, {}) if isinstance(table, Mapping) else {}
    return {name: validated(CheckSettings, given, f"{TABLE}.{name}") for name, given in table.items()}
