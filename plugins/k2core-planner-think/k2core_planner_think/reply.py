"""Reading what a model replied. Nothing here raises on any text: a small model's reply is a guess, not a contract."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_READ = 20_000
"""Characters of a reply that are looked at."""
MAX_TOPICS, MAX_TOPIC = 8, 80

_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)
_HARD = re.compile(r"""["']?\bhard["']?\s*[:=]\s*["']?(true|false|yes|no|hard|easy|1|0)\b""", re.IGNORECASE)
_TOPICS = re.compile(r"""["']?\btopics["']?\s*[:=]\s*\[([^\]]*)""", re.IGNORECASE)
_PLAN = re.compile(r"""["']?\bplan["']?\s*[:=]\s*(?=["'\[])""", re.IGNORECASE)
_STRING = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)\'""")
_NO = {"false", "no", "easy", "0", "none", ""}


@dataclass(frozen=True)
class Reply:
    """What a planner's reply says; whatever it does not say has the value that plans rather than skips."""

    hard: bool = True
    topics: tuple[str, ...] = ()
    plan: str = ""
    structured: bool = False
    """Whether any of the fields was found; otherwise `plan` is the whole text."""


def read_reply(text: str) -> Reply:
    """JSON, fenced or with text around; JSON with single quotes or cut off; else prose, which is taken as the plan."""
    text = text[:MAX_READ]
    for found in _objects(text):
        if {"hard", "topics", "plan"} & set(found):
            return Reply(_hard(found.get("hard", True)), _topics(found.get("topics")), _text(found.get("plan")), True)
    loose = _loose(text)
    if loose:
        return Reply(_hard(loose.get("hard", True)), _topics(loose.get("topics")), _text(loose.get("plan")), True)
    prose = _FENCE.sub("", text).strip()
    return Reply(plan="" if prose[:1] in ("{", "[") else prose)


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """JSON objects that start at some brace of the text, keys in lower case."""
    decoder = json.JSONDecoder(strict=False)
    at = text.find("{")
    for _ in range(32):
        if at < 0:
            return
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield {str(key).lower(): value for key, value in found.items()}
        at = text.find("{", end)


def _loose(text: str) -> dict[str, Any]:
    """The fields of something that was meant to be JSON: single quotes, bare keys, cut off anywhere."""
    found: dict[str, Any] = {}
    if match := _HARD.search(text):
        found["hard"] = match[1]
    if match := _TOPICS.search(text):
        found["topics"] = [a or b for a, b in _STRING.findall(match[1])]
    if match := _PLAN.search(text):
        found["plan"] = _loose_value(text[match.end() :])
    return found


def _loose_value(rest: str) -> str | list[str]:
    """A string or list of strings at the start of `rest`; what was cut off ends with the text."""
    if rest.startswith("["):
        return [a or b for a, b in _STRING.findall(rest.partition("]")[0])]
    quote = rest[0]
    # a quote only ends the string where JSON goes on or the text ends: models forget to escape
    end = re.search(rf"(?<!\\){quote}(?=\s*(?:[,}}]|$))", rest[1:])
    body = rest[1 : 1 + end.start()] if end else rest[1:].rstrip("`} \n")
    return body.replace("\\n", "\n").replace('\\"', '"').replace("\\'", "'")


def _hard(value: Any) -> bool:
    return value.strip().lower() not in _NO if isinstance(value, str) else bool(value)


def _topics(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    names = (" ".join(item.split())[:MAX_TOPIC] for item in items if isinstance(item, str))
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_TOPICS]


def _text(value: Any) -> str:
    """A plan as text: a string, or steps in a list or an object, one a line."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return "\n".join(str(item).strip() for item in value if isinstance(item, str | int | float))
    return value.strip() if isinstance(value, str) else ""
