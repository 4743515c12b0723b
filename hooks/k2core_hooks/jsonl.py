"""The lines of a trace: one event each, as strict JSON, named by its `kind`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from k2core.events import Event


class OtherEvent(Event):
    """An event of a kind that this process does not know: some plugin's own."""

    kind = "other"
    name: str
    data: Mapping[str, Any] = {}


def to_line(event: Event) -> bytes:
    """An event as one line of UTF-8 JSON, newline included."""
    data = {"kind": event.kind, **event.model_dump()}
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_finite(data), ensure_ascii=False, default=str)
    # lone surrogates, which a model's byte tokens can leave behind, become question marks
    return text.encode("utf-8", "replace") + b"\n"


def from_line(data: Mapping[str, Any]) -> Event:
    """The event of a parsed line. Raises `ValueError` (pydantic's) when its fields do not fit its kind."""
    fields = {name: value for name, value in data.items() if name != "kind"}
    kind = str(data.get("kind"))
    known = next((cls for cls in _subclasses(Event) if cls.kind == kind), None)
    if known:
        return known.model_validate(fields)
    common = {name: fields.pop(name) for name in ("run_id", "at") if name in fields}
    return OtherEvent(name=kind, data=fields, **common)


def _subclasses(base: type[Event]) -> Iterator[type[Event]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def _finite(value: Any) -> Any:
    """Infinities and NaN, such as the log-probability of an impossible token, as strings that pydantic reads back as floats."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
