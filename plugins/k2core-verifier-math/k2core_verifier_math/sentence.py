"""Answers in words: "The answer is …", "Answer: …", "A: …"."""

from __future__ import annotations

import re

_ANSWER = re.compile(
    r"(?:\b(?:answer|result|r[ée]ponse|solution)\b[^.\n:=]{0,80}?(?:\bis\b|\best\b|[:\uff1a=])|^[ \t]*A:)"
    r"[*\s:]*(?:\bis\b)?[*:]*[ \t]*(?=(?P<rest>[^\n]*))",
    re.IGNORECASE | re.MULTILINE,
)
_HOPE = re.compile(r"\.?\s*I hope.*$", re.IGNORECASE | re.DOTALL)
_MATH = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_LEADING = re.compile(
    r"[-\u2212+]?\\?[$€£¥]?\s?[-\u2212+]?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?\s?\\?%?"
    r"(?=$|[.,;)!]|\s+[A-Za-z]{2}|\s*$)"
)
_FRAME = re.compile(r"\\\((.*)\\\)|\\\[(.*)\\\]|\$\$([^$]*)\$\$|\$([^$]*)\$|\*\*([^*]*)\*\*|`([^`]*)`", re.DOTALL)


def unframe(text: str) -> str:
    """Without the white space, full stop and math or bold marks around it."""
    text = text.strip()
    while True:
        bare = text.rstrip(".").rstrip() if not text.endswith("..") else text
        match = _FRAME.fullmatch(bare)
        inner = next(group for group in match.groups() if group is not None).strip() if match else bare
        if inner == text:
            return text
        text = inner


def sentence(text: str, *, whole: bool = False) -> str | None:
    """What follows the last "answer is", up to the end of the line; the number or formula in it unless `whole`."""
    matches = [match for match in _ANSWER.finditer(text[-8000:]) if match.group("rest").strip(" *")]
    if not matches:
        return None
    rest = unframe(_HOPE.sub("", matches[-1].group("rest")).strip().strip("*"))
    return (rest if whole else _core(rest)) or None


def _core(rest: str) -> str:
    """The answer inside an answer sentence: the number it starts with, its only formula, or what follows its last "is"."""
    if leading := _LEADING.match(rest):
        return leading.group().rstrip(" ,")
    formulas = [next(part for part in match if part) for match in _MATH.findall(rest)]
    if len(formulas) == 1 and len(rest) > len(formulas[0]) + 4 and " is " not in rest:
        return str(formulas[0]).strip()
    before, found, after = rest.rpartition(" is ")
    return _core(unframe(after)) if found and before else rest
