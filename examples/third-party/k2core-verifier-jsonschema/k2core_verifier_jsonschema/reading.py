"""The JSON value in a model's text, and a form in which equal values are equal strings."""

from __future__ import annotations

import json
import re
from typing import Any

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL | re.IGNORECASE)
_STARTS = re.compile(r"[\[{]")
_WASTE = 10
"""Times its own length that may be read of a text in vain, before it counts as holding no JSON."""


class NoJson(ValueError):
    """There is no JSON in the text; the message says what was tried."""


def value_in(text: str, longest: int) -> Any:
    """The text as a whole, else its last fenced block, else the last object or array in it.

    Raises `NoJson`, and `RecursionError` on what is nested too deeply.
    """
    if len(text) > longest:
        raise NoJson(f"longer than {longest} characters")
    answer = text.rpartition("</think>")[2]
    fenced = _FENCE.findall(answer)
    for part in (answer, *fenced[-1:]):
        try:
            return _loads(part.strip())
        except ValueError:
            continue
    return _last_inside(answer)


def _last_inside(text: str) -> Any:
    """The outermost object or array that ends last."""
    decoder = json.JSONDecoder(parse_constant=_refused, object_pairs_hook=_object)
    found, waste = [], 0
    match = _STARTS.search(text)
    while match:
        try:
            value, end = decoder.raw_decode(text, match.start())
            found.append(value)
        except json.JSONDecodeError as error:
            end = match.end()
            waste += error.pos - match.start()
        except ValueError:  # a doubled key, or no number: the value is there, but is none
            raise NoJson("no JSON object or array that is sound") from None
        if waste > _WASTE * len(text):
            break
        match = _STARTS.search(text, end)
    if not found:
        raise NoJson("no JSON object or array")
    return found[-1]


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_refused, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def canonical(value: Any) -> str:
    """Equal for values that are equal by JSON Schema's rules: 1.0 is 1, the order of keys is nothing, true is not 1."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
