"""References to reasoning-gym's items, as JSON text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..literals import Unreadable, read

_NAMES = ("family", "dataset", "task")


@dataclass(frozen=True, slots=True)
class ItemRef:
    """An item: by seed and index, from which it is made again, or as a whole entry."""

    family: str
    config: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    index: int = 0
    digest: str = ""
    """Of the item that the reference was made from, if known."""
    entry: dict[str, Any] | None = None

    def message(self) -> dict[str, Any]:
        """What the worker is asked with."""
        if self.entry is not None:
            return {"family": self.family, "config": self.config, "entry": self.entry}
        place = {"seed": self.seed, "index": self.index, "digest": self.digest}
        return {"family": self.family, "config": self.config, **place}

    def dumps(self, answer: str) -> str:
        """The reference as JSON, with the stored answer for people to read; it is not what decides."""
        return json.dumps({**self.message(), "answer": answer})


def parse(reference: str) -> ItemRef:
    """The item that a reference names: `{"family", "seed", "index", "config"?}` or `{"family", "entry": {…}}`.

    `dataset` and `task` do for `family`, and an entry alone names its family in `metadata.source_dataset`. Raises `ValueError`.
    """
    try:
        value = json.loads(reference)
    except (ValueError, RecursionError):
        raise ValueError('the reference is no JSON object such as {"family": …, "seed": …, "index": …}') from None
    if not isinstance(value, dict):
        raise ValueError("the reference is no JSON object")
    value = _opened(value)
    entry = value.get("entry")
    if entry is None and {"question", "answer", "metadata"} <= value.keys():
        entry = value
    family = next((value[name] for name in _NAMES if isinstance(value.get(name), str)), None) or _source(entry)
    config = value.get("config", {})
    if not family or not isinstance(config, dict):
        raise ValueError("the reference names no family of reasoning-gym, or its `config` is no object")
    if isinstance(entry, dict):
        return ItemRef(family, config, entry=entry)
    seed, index = value.get("seed"), value.get("index")
    if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in (seed, index)):
        raise ValueError("the reference has neither an `entry` nor a `seed` and an `index`")
    return ItemRef(family, config, value["seed"], value["index"], str(value.get("digest", "")))


def _opened(value: dict[str, Any]) -> dict[str, Any]:
    """With an entry that is stored as JSON text read."""
    if isinstance(text := value.get("entry"), str):
        try:
            return {**value, "entry": read(text)}
        except Unreadable as error:
            raise ValueError(f"the reference's `entry` is unreadable: {error}") from None
    return value


def _source(entry: Any) -> str | None:
    metadata = entry.get("metadata") if isinstance(entry, dict) else None
    source = metadata.get("source_dataset") if isinstance(metadata, dict) else None
    return source if isinstance(source, str) else None
