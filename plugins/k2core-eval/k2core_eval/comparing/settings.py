"""How two configurations differ, and what that touches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .records import Flag

_KINDS: Final = (
    ("limits", re.compile(r"^limits\.|^retry\.|time_?out|deadline|attempts|patience")),
    ("effort", re.compile(r"effort|reasoning|thinking|\bmode$")),
    ("sampling", re.compile(r"temperature|top_p|top_k|min_p|max_tokens|max_completion_tokens|penalty|\bstop\b|\bseed$")),
    ("prompt", re.compile(r"system|instruction|example|prompt|template|plan_in|\btopics")),
    ("model", re.compile(r"^decoders\.[^.]+\.(model|use|revision|quant|file|path|base_url|url)|\bmodel$")),
)
_TEXTS: Final = {
    "limits": "different time-outs, limits or retries",
    "effort": "different reasoning effort",
    "sampling": "different sampling",
    "prompt": "different prompts",
    "model": "different models",
    "setting": "different settings",
}
_SHOWN = 60
_MISSING: Final = object()


def changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Flag]:
    """A flag for each path at which the two differ; a table that one of them lacks is one difference."""
    found = [_flag(path, left, right) for path, left, right in _differences(a, b, "")]
    order = [kind for kind, _ in _KINDS]
    return sorted(found, key=lambda flag: order.index(flag.kind) if flag.kind in order else len(order))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*a, *b]):
        where = f"{path}.{name}" if path else str(name)
        left, right = a.get(name, _MISSING), b.get(name, _MISSING)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _differences(left, right, where)
        elif left != right and not _nothing(left, right):
            yield where, left, right


def _nothing(left: Any, right: Any) -> bool:
    """Whether one lacks what the other leaves empty."""
    return all(value is _MISSING or value is None or value in ({}, [], ()) for value in (left, right))


def _flag(path: str, left: Any, right: Any) -> Flag:
    kind = next((kind for kind, pattern in _KINDS if pattern.search(path)), "setting")
    if isinstance(left, Mapping) or isinstance(right, Mapping):
        kind = "setting"
    return Flag.model_validate({"kind": kind, "text": f"{_TEXTS[kind]}: {path}", "a": _shown(left), "b": _shown(right)})


def _shown(value: Any) -> str:
    if value is _MISSING or value is None:
        return "none"
    if isinstance(value, Mapping):
        return str(value.get("use", "set"))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
