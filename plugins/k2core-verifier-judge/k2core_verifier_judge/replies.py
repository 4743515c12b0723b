"""What the judge said, also when it cannot produce JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

Choice: TypeAlias = Literal["A", "B", "tie"]

_LENGTH = 20_000
_OBJECT = re.compile(r"\{[^{}]*\}")
_FIELD = re.compile(
    r"\b(?:better|winner|verdict)\b[\"'*]{0,4}\s{0,4}(?:[:=]|is)[\"'*\s(\[]{0,6}(A|B|tie)\b",
    re.IGNORECASE,
)
_THING = r"(?:answer|solution|candidate|response|option)?[\s\"'*(\[]{0,6}"
_PHRASES = (
    re.compile(
        r"\b(A|B)\b[\"'*)\]]{0,4}\s{1,4}(?:is|was|seems|looks)\s{1,4}(?:\w{1,20}\s{1,4})?(?:better|stronger|preferable|superior)\b"
    ),
    re.compile(r"\b(?:prefer|choose|pick|favou?r)\s{1,4}" + _THING + r"\b(A|B)\b"),
    re.compile(
        r"\b(?:better|best|stronger)\s{1,4}(?:one|answer|solution|candidate|response|option)\s{1,4}is\s{1,4}"
        + _THING
        + r"\b(A|B)\b"
    ),
)
_NEGATED = re.compile(r"\b(?:not|never|n't|neither)\b", re.IGNORECASE)
_TIE = re.compile(
    r"\b(?:a|it'?s a|is a)\s{1,4}(?:tie|draw)\b|\bequally\s{1,4}(?:good|bad|correct|wrong)\b|\bneither\b[^.\n]{0,20}\bbetter\b",
    re.IGNORECASE,
)
_BARE = re.compile(r"[\s\"'*(\[]{0,6}(A|B|tie)[\s\"'*)\].!]{0,6}", re.IGNORECASE)

_RATING = re.compile(
    r"\b(?:rating|score|mark)\b[\"'*]{0,4}\s{0,4}(?:[:=]|is|of)[\"'*\s]{0,6}(\d{1,3}(?:\.\d{1,9})?)(?![\d.]{0,2}\d)",
    re.IGNORECASE,
)
_OUT_OF_TEN = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,9})?)\s{0,4}(?:/|out of)\s{0,4}10\b")
_NUMBER = re.compile(r"[\s\"'*]{0,6}(\d{1,3}(?:\.\d{1,9})?)[\s\"'*.]{0,6}")


def choice(reply: str) -> Choice | None:
    """The better one of A and B, or a tie; None when the reply names none, or several."""
    text = _said(reply)
    for found in _objects(text):
        if isinstance(better := found.get("better"), str) and (match := _BARE.fullmatch(better)):
            return _named(match.group(1))
    if match := _BARE.fullmatch(text):
        return _named(match.group(1))
    return _only({_named(name) for name in _FIELD.findall(text)}) or _only(_phrases(text))


def _phrases(text: str) -> set[Choice]:
    """Verdicts in words, sentence by sentence; sentences with a negation say too little."""
    found: set[Choice] = set()
    for sentence in re.split(r"(?<=[.!?\n])\s", text):
        if _TIE.search(sentence):
            found.add("tie")
        elif not _NEGATED.search(sentence):
            found |= {_named(name) for phrase in _PHRASES for name in phrase.findall(sentence)}
    return found


def _named(name: str) -> Choice:
    return "A" if name in "Aa" else "B" if name in "Bb" else "tie"


def _only(found: set[Choice]) -> Choice | None:
    return next(iter(found)) if len(found) == 1 else None


def rating(reply: str) -> float | None:
    """The rating on the scale of 0 to 10; None when there is none, several different ones, or one off the scale."""
    text = _said(reply)
    for found in _objects(text):
        value = found.get("rating")
        if isinstance(value, str) and (match := _NUMBER.fullmatch(value) or _OUT_OF_TEN.fullmatch(value.strip())):
            value = float(match.group(1))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _on_scale(float(value))
    if match := _NUMBER.fullmatch(text):
        return _on_scale(float(match.group(1)))
    for pattern in (_OUT_OF_TEN, _RATING):
        if named := {float(number) for number in pattern.findall(text)}:
            return _on_scale(named.pop()) if len(named) == 1 else None
    return None


def _on_scale(value: float) -> float | None:
    return value if 0 <= value <= 10 else None


def _said(reply: str) -> str:
    """The reply without the judge's own thinking, and no longer than a verdict can be."""
    return reply.rpartition("</think>")[2].strip()[-_LENGTH:]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in the text, the last first."""
    for raw in [text, *reversed(_OBJECT.findall(text))]:
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found
