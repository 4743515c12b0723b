"""Values that a model wrote as JSON or as Python literals, read without ever evaluating anything.

What `json` does not read is rewritten as JSON: every character must belong to a token of one of the two notations, and what is
Python's own (single quotes, tuples, `True`, trailing commas) is replaced. Brackets nest at most `DEPTH` deep. Linear in the length.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

DEPTH = 64
LENGTH = 200_000
"""Characters of the longest text that is read."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<double>"(?:[^"\\]|\\.)*")
    |(?P<single>'(?:[^'\\]|\\.)*')
    |(?P<number>[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    |(?P<word>(?:None|True|False|null|true|false|NaN|nan|[-+]?(?:Infinity|inf))(?!\w))
    |(?P<open>[\[({])|(?P<close>[\])}])|(?P<comma>,)|(?P<colon>:)""",
    re.VERBOSE | re.DOTALL,
)
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_WORDS = {"None": "null", "True": "true", "False": "false", "nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}


class Unreadable(ValueError):
    """The text is neither JSON nor a Python literal; the message says what is wrong."""


def read(text: str) -> Any:
    """The value of a JSON document or Python literal: tuples become lists, keys strings. Raises `Unreadable`."""
    text = text.strip()
    if len(text) > LENGTH:
        raise Unreadable(f"longer than {LENGTH} characters")
    try:
        return _loads(text if _shallow(text) else _as_json(text))
    except ValueError:
        return _rewritten(text)


def _shallow(text: str) -> bool:
    """Whether brackets outside of JSON's strings nest at most `DEPTH` deep."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > DEPTH:
            return False
    return True


def _rewritten(text: str) -> Any:
    try:
        return _loads(_as_json(text))
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}"[:200]) from None


def _loads(text: str) -> Any:
    return json.loads(text, strict=False)


def _as_json(text: str) -> str:
    parts: list[str] = []
    depth = at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"{text[at : at + 20]!r} at position {at} belongs to no literal")
        at, kind, token = match.end(), str(match.lastgroup), match.group()
        if kind == "open":
            depth += 1
            token = "[" if token == "(" else token
        elif kind == "close":
            depth -= 1
            token = "]" if token == ")" else token
            if parts and parts[-1] == ",":
                parts.pop()
        elif kind == "colon":
            _make_key(parts)
        if depth > DEPTH:
            raise Unreadable(f"nested more than {DEPTH} deep")
        if kind != "space":
            parts.append(_token(kind, token))
    return " ".join(parts)


def _token(kind: str, token: str) -> str:
    if kind == "single" or (kind == "double" and "\\" in token and not _is_json(token)):
        return json.dumps(_ESCAPE.sub(_unescape, token[1:-1]))
    if kind == "number" and not _is_json(token):
        return _number(token)
    return _WORDS.get(token.removeprefix("+"), token.removeprefix("+")) if kind == "word" else token


def _is_json(token: str) -> bool:
    try:
        json.loads(token, strict=False)
    except ValueError:
        return False
    return True


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) > 1:
        return chr(min(int(code[1:], 16), sys.maxunicode))
    return _ESCAPED.get(code, code if code in "\\'\"/" else f"\\{code}")


def _number(token: str) -> str:
    """Forms that JSON lacks: +1, .5, 5., 007, 1_000."""
    try:
        plain = token.replace("_", "")
        return str(int(plain)) if re.fullmatch(r"[-+]?\d+", plain) else json.dumps(float(plain))
    except ValueError as error:
        raise Unreadable(f"{token[:20]!r} is no number: {error}"[:200]) from None


def _make_key(parts: list[str]) -> None:
    """JSON's keys are strings; Python's may be numbers and the like."""
    if parts and parts[-1][-1] not in '"[]{},:':
        parts[-1] = f'"{parts[-1]}"'
