"""Pipelines written in YAML, for who prefers it: the kernel asks for this only when a file's name says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError


def parse_yaml(text: str, source: str) -> Mapping[str, Any]:
    """The tables in a text. Raises `ConfigError`, also where PyYAML is not installed."""
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(f"{source} is YAML; install it with: pip install 'k2core[yaml]', or write TOML") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: a pipeline is a table of options, not {type(data).__name__}")
    return data
