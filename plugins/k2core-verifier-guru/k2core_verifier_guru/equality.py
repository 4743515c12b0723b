"""When two JSON values are the same, and the form by which they vote together.

Numbers are equal by value (1 = 1.0, exactly), everything else by type and content: true is not 1, "1" is not 1. The order of keys
does not count, that of lists does. NaN equals itself, so that equality is an equivalence.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

_LONGEST_KEY = 200


def canonical(value: Any) -> str:
    """The value as JSON with sorted keys and each number in one form: two values are the same when these are."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def key(value: Any) -> str:
    """`canonical`, or its digest where that would be long."""
    return short(canonical(value))


def short(text: str) -> str:
    """The text itself, or a digest of a long one."""
    if len(text) <= _LONGEST_KEY:
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two values are equal; numbers may differ by `tolerance` relative to the larger, if that is not 0."""
    if tolerance and _is_number(one) and _is_number(other):
        return math.isclose(one, other, rel_tol=tolerance) or canonical(one) == canonical(other)
    if tolerance and isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(part, other[name], tolerance) for name, part in one.items())
    if tolerance and isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, tolerance) for a, b in zip(one, other, strict=True))
    return canonical(one) == canonical(other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
