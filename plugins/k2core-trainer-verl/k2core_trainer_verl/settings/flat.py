"""Nested tables as dotted paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flattened(tables: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}, "c.d": 2}` as `{"a.b": 1, "c.d": 2}`; an empty table stays a value. Later spellings of a path win."""
    found: dict[str, Any] = {}
    for name, value in tables.items():
        where = f"{path}.{name}" if path else name
        found |= flattened(value, where) if isinstance(value, Mapping) and value else {where: value}
    return found
