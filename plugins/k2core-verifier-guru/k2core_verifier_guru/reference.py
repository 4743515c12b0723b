"""Reading reference answers, which come as text or as JSON text of whatever a corpus stores."""

from __future__ import annotations

from typing import Any

from .literals import Unreadable, read

_WRAPPERS = ("reward_model", "ground_truth", "gold", "answer")


def load(reference: str) -> Any:
    """The value of a reference in JSON or Python notation if it is a container in it, else its text as it is.

    An object that only wraps the answer, such as a row with `reward_model` or `ground_truth`, is unwrapped.
    """
    text = reference.strip()
    if not text.startswith(("{", "[", "(")):
        return text
    try:
        return unwrap(read(text))
    except Unreadable:
        return text


def unwrap(value: Any) -> Any:
    """The answer inside a corpus's row; a value that is none is returned as it is."""
    while isinstance(value, dict) and "rows" not in value:
        name = next((name for name in _WRAPPERS if name in value), None)
        if name is None:
            return value
        value = value[name]
        value = load(value) if isinstance(value, str) else value
    return value
