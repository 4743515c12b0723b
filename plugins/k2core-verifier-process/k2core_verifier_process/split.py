"""Solutions into steps. Where a step ends depends on what stands before it only, so a prefix has the steps of the whole."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SOFT = 240
"""A line longer than this is split at the next end of a sentence."""
_OPENS = re.compile(r"\$\$|\\\[|\\\]|\\begin\{[a-z]{1,20}\*?\}|\\end\{[a-z]{1,20}\*?\}|^[ \t]{0,3}```", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[a-z0-9)\]}$%][.!?])[ \t]+(?=[A-Z$\\(])")
_CONTENT = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a solution, from `start` to `end` (exclusive) in its text; numbers begin with 1."""

    number: int
    start: int
    end: int
    text: str


def split(text: str) -> list[Step]:
    """The steps, in order. A line is a step, and so is a formula set apart, an environment and a block of code. A long line is
    several steps, each of whole sentences. What has neither letter nor digit belongs to the step after it. Linear in the length
    of the text."""
    steps: list[Step] = []
    start = searched = 0
    for end in _cuts(text):
        if _CONTENT.search(text, searched, end):
            steps.append(Step(len(steps) + 1, start, end, text[start:end]))
            start = end
        searched = end
    return steps


def _cuts(text: str) -> list[int]:
    """Where lines and long sentences end, outside of blocks; the end of the text is the last."""
    cuts: list[int] = []
    marks, begun = list(_OPENS.finditer(text)), 0
    inside, at = "", 0
    for line in text.splitlines(keepends=True):
        stop = at + len(line)
        while begun < len(marks) and marks[begun].start() < stop:
            inside = _after(inside, marks[begun].group().strip())
            begun += 1
        if not inside:
            cuts += _sentences(text, max(at, cuts[-1] if cuts else 0), stop)
            cuts.append(stop)
        at = stop
    return cuts if cuts and cuts[-1] == len(text) else [*cuts, len(text)]


def _after(inside: str, mark: str) -> str:
    """The block that is open after a mark; blocks of another kind inside one do not count."""
    if inside:
        closes = {"$$": "$$", r"\[": r"\]", "```": "```"}.get(inside, inside.replace("begin", "end"))
        return "" if mark == closes else inside
    return mark if mark in ("$$", r"\[", "```") or mark.startswith(r"\begin") else ""


def _sentences(text: str, start: int, stop: int) -> list[int]:
    cuts: list[int] = []
    for match in _SENTENCE.finditer(text, start, stop):
        if match.start() - (cuts[-1] if cuts else start) >= _SOFT:
            cuts.append(match.end())
    return cuts
