"""reasoning-gym's families and their items. Runs in a worker process."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from functools import lru_cache
from typing import Any

SIZE = 4096
"""Items of a data set, most families making them on demand. Item i of seed s is mostly item 0 of seed s + i: seeds `SIZE` apart
have different items."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

Item = dict[str, Any]


def names() -> list[str]:
    """All families, sorted."""
    from reasoning_gym.factory import DATASETS  # type: ignore[import-untyped] # ships no types

    return sorted(DATASETS)


@lru_cache(maxsize=32)
def _dataset(family: str, config: str, seed: int) -> Any:
    from reasoning_gym.factory import DATASETS, create_dataset

    if family not in DATASETS:
        near = difflib.get_close_matches(family, DATASETS, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"reasoning-gym has no family {family!r}{hint}")
    return create_dataset(family, **json.loads(config), seed=seed, size=SIZE)


def dataset(family: str, config: dict[str, Any], seed: int) -> Any:
    """The data set of a family. Raises `ValueError` for an unknown one, and whatever reasoning-gym says of a wrong option."""
    return _dataset(family, json.dumps(config, sort_keys=True), seed)


def forget() -> None:
    """Make every data set and item anew from here on."""
    _dataset.cache_clear()
    _item.cache_clear()


@lru_cache(maxsize=256)
def _item(family: str, config: str, seed: int, index: int) -> Item:
    found: Item = _dataset(family, config, seed)[index]
    return found


def item(family: str, config: dict[str, Any], seed: int, index: int) -> Item:
    """One item; the last few are remembered."""
    return _item(family, json.dumps(config, sort_keys=True), seed, index)


def category(data: Any) -> str:
    """The part of reasoning-gym that a data set belongs to, such as `arithmetic`."""
    return str(data.category)


def digest(value: Any) -> str:
    """16 hex digits that are the same for equal items, whatever the order of sets and the addresses of objects."""
    return hashlib.sha256(json.dumps(_ordered(value)).encode()).hexdigest()[:16]


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {"dict": sorted(([_ordered(name), _ordered(part)] for name, part in value.items()), key=json.dumps)}
    if isinstance(value, set | frozenset):
        return {"set": sorted((_ordered(part) for part in value), key=json.dumps)}
    if isinstance(value, list | tuple):
        return [_ordered(part) for part in value]
    if hasattr(value, "tolist"):
        return _ordered(value.tolist())
    if value is None or isinstance(value, str | int | float | bool):
        return value
    shown = _ordered(vars(value)) if hasattr(value, "__dict__") else None
    return [type(value).__name__, shown if shown is not None else _ADDRESS.sub("", repr(value))]


def fingerprint(family: str, config: dict[str, Any], seed: int, count: int) -> str:
    """Digest of the first items, made in reverse order unless they are remembered."""
    return digest([item(family, config, seed, index) for index in reversed(range(count))])
