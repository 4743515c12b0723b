"""From a configuration file and the command line to the pipeline under test, the graders and the task sources."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import k2core.config
from k2core.config import PipelineConfig
from k2core.errors import ConfigError

SCORER = ("grading", "tasks")
"""Tables that go to the scorer alone."""


def read(path: str | None, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables of the pipeline, with the overrides applied, and those of the scorer. Raises `ConfigError`."""
    data = applied(_tables(path), {}, overrides)
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
        _set(copied, path.split("."), value, path)
    for override in overrides:
        _apply(copied, override)
    return copied


def value_at(data: Any, path: str) -> Any:
    """What stands at a dotted path, or None."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def pipeline(data: Mapping[str, Any], path: str | None) -> PipelineConfig:
    return PipelineConfig.from_dict(data, source=path or "the default pipeline")


def _tables(path: str | None) -> dict[str, Any]:
    file = Path(path).expanduser() if path else Path(k2core.config.__file__).with_name("default.toml")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {file}: {error}", "--config") from error
    if file.suffix in (".yaml", ".yml"):
        return _yaml(text, file)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}", "--config") from error


def _yaml(text: str, file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(f"{file} is YAML; install it with: pip install 'k2core[yaml]', or write TOML", "--config") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not valid YAML: {error}", "--config") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: a pipeline is a table of options, not {type(data).__name__}", "--config")
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    """Set `a.b.c=value` in nested tables; the value is TOML, or else a plain string."""
    key, sep, value = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not sep or not all(parts):
        raise ConfigError(f"an override reads path=value, such as sampler.n=5, not {override!r}", "--set")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    _set(data, parts, parsed, override)


def _set(data: dict[str, Any], parts: Sequence[str], value: Any, whole: str) -> None:
    for part in parts[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"{whole!r} sets an option below {part!r}, which is no table", ".".join(parts))
    data[parts[-1]] = value
