"""Finding an answer that was disclosed in a plan. Text patterns only: they see what is said, not whether it is right.

A plan is looked at sentence by sentence. A sentence leaks when it marks an answer (`\\boxed{…}`, `<answer>`), says what the
answer is, concludes with a value ("therefore x = 5"), carries out arithmetic ("17 + 25 = 42"), or is the last one and ends
in a value ("the perimeter is 24 cm").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from . import patterns

MAX_READ = 20_000
"""Characters of a plan that are kept; the rest is dropped unread."""


class Sentence(NamedTuple):
    """A sentence and its place in the plan."""

    text: str
    start: int
    end: int


def find_leaks(plan: str) -> list[str]:
    """The sentences that disclose an answer, as they stand in the plan."""
    return [sentence.text for sentence in _leaking(plan[:MAX_READ])]


def strip_leaks(plan: str) -> str:
    """The plan without them, and without what discloses only once they are gone."""
    plan = _tidy(plan[:MAX_READ])
    while leaks := _leaking(plan):
        for sentence in reversed(leaks):
            plan = plan[: sentence.start] + plan[sentence.end :]
        plan = _tidy(plan)
    return plan


def _leaking(plan: str) -> list[Sentence]:
    """Those that disclose wherever they stand; then, from the end, those that are last without them and end in a value."""
    found = list(_sentences(plan))
    leaks = {sentence for sentence in found if _discloses(sentence.text)}
    for sentence in reversed(found):
        if sentence not in leaks and not _ends_in_a_value(sentence.text):
            break
        leaks.add(sentence)
    return sorted(leaks, key=lambda sentence: sentence.start)


def _sentences(plan: str) -> Iterator[Sentence]:
    at = 0
    for line in plan.splitlines(keepends=True):
        body = line.rstrip()
        start = 0 if body.startswith("####") else _bullet_end(body)
        cuts = [start, *(match.end() for match in patterns.BREAK.finditer(body, start)), len(body)]
        for begin, end in pairwise(cuts):
            if text := body[begin:end].strip():
                yield Sentence(text, at + begin, at + end)
        at += len(line)


def _bullet_end(line: str) -> int:
    match = patterns.BULLET.match(line)
    return match.end() if match else 0


def _discloses(sentence: str) -> bool:
    text = plain(sentence)
    return (
        _marks_answer(sentence)
        or any(not patterns.SUPPOSED.search(text[: match.start()]) for match in patterns.ANSWER.finditer(text))
        or any(not patterns.GIVEN.search(match.group()) for match in patterns.THEREFORE.finditer(text))
        or any(pattern.search(text) for pattern in (patterns.CHOICE, patterns.CONCLUDED, patterns.ARITHMETIC))
    )


def _marks_answer(sentence: str) -> bool:
    inside = (match["boxed"] or match["tag"] or match["hashes"] or "" for match in patterns.MARKED.finditer(sentence))
    return any(not patterns.PLACEHOLDER.fullmatch(plain(text)) for text in inside)


def _ends_in_a_value(sentence: str) -> bool:
    text = plain(sentence)
    return bool(patterns.LAST.search(text)) and not patterns.GIVEN.search(text)


def plain(text: str) -> str:
    """Without mark-up and with single spaces, so that patterns see words and numbers."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\*\*|__|[$`]", "", text)
    text = re.sub(r"\\[dt]frac\b", r"\\frac", text)
    text = re.sub(r"≈|\\approx\b", "=", text)
    text = re.sub(r"\\times\b|\\cdot\b", "*", text)
    return " ".join(text.split())


def _tidy(plan: str) -> str:
    """Without lines that only a bullet is left of, and without gaps."""
    lines = [line.rstrip() for line in plan.splitlines() if not line.strip() or line[_bullet_end(line) :].strip(" .)")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
