"""Where a candidate's answer is, for answers that may have several lines or be JSON. Linear in the length of the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from k2core_verifier_math.extract import boxed as first_boxed

from k2core import Candidate

TAIL = 200_000
"""Characters at the end of a text that are searched."""
SHORT = 200
"""A text of one line up to this length, without any mark, is the answer itself."""

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)```", re.DOTALL)
_EMPTY = re.compile(r"<answer>|\\boxed\s*\{")
"""Marks around nothing, or that do not close: there is no answer then, and the whole text is none either."""
_MARK = re.compile(r'\\.|["{}\n]')
_OPENED = re.compile(r"\s*```[\w+-]*[ \t]*\n(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """An answer and how it was found; `sure` is False for a whole text without marks, which may be no answer at all."""

    text: str
    how: str
    sure: bool = True


def truncated(candidate: Candidate) -> bool:
    """Whether the candidate was cut at its token limit."""
    return candidate.completion is not None and candidate.completion.finish == "length"


def visible(text: str) -> str:
    """The end of the text after the thinking; empty when the thinking was never finished."""
    _, closed, after = text.rpartition("</think>")
    return "" if not closed and "<think>" in text else (after if closed else text)[-TAIL:]


def tag(text: str, cut: bool) -> str | None:
    """Content of the last `<answer>`; unclosed, as where the end mark is a stop sequence, only in a text that was not cut."""
    start = text.rfind("<answer>")
    if start < 0:
        return None
    content, closed, _ = text[start + len("<answer>") :].partition("</answer>")
    return content.strip() or None if closed or not cut else None


def box(text: str, cut: bool) -> str | None:
    r"""Content of the last `\boxed{}`."""
    return first_boxed(text)


def fence(text: str, cut: bool) -> str | None:
    """Content of the last fenced block."""
    blocks = _FENCE.findall(text)
    return str(blocks[-1]).strip() or None if blocks else None


def last_object(text: str, cut: bool) -> str | None:
    """The last balanced `{…}` that is not inside another; braces in its strings, which end with the line, do not count."""
    depth = start = 0
    quoted = False
    last: str | None = None
    for match in _MARK.finditer(text):
        token = match.group()
        if token in '"\n':
            quoted = token == '"' and depth > 0 and not quoted
        elif quoted or (token == "}" and not depth):
            continue
        elif token == "{":
            start = match.start() if depth == 0 else start
            depth += 1
        elif token == "}":
            depth -= 1
            last = text[start : match.end()] if depth == 0 else last
    return last


FINDERS: dict[str, Callable[[str, bool], str | None]] = {"tag": tag, "box": box, "fence": fence, "object": last_object}
NAMES = {"tag": "<answer>", "box": r"\boxed{}", "fence": "a fenced block", "object": "an object in braces"}


def find(candidate: Candidate, order: Sequence[str] = ("tag", "box", "fence"), *, strict: bool = False) -> Found | None:
    """The answer by the first of the marks in `order` that is there, else, unless `strict`, the whole text."""
    if candidate.answer is not None and candidate.answer.strip():
        return Found(candidate.answer.strip(), "given")
    text, cut = visible(candidate.text), truncated(candidate)
    for name in order:
        if content := FINDERS[name](text, cut):
            return Found(unfenced(content), NAMES[name])
    whole = text.strip()
    if strict or cut or not whole or _EMPTY.search(text):
        return None
    return Found(whole, "the whole text", sure="\n" not in whole and len(whole) <= SHORT)


def unfenced(text: str) -> str:
    """Without the marks of a code block around it."""
    match = _FENCE.fullmatch(text.strip()) or _OPENED.fullmatch(text)
    return match.group(1).strip() if match else text


def missing(candidate: Candidate, order: Sequence[str] = ("tag", "box", "fence")) -> str:
    """Why `find` found nothing, in words."""
    reason = f"no answer found (looked for {', '.join(NAMES[name] for name in order)})"
    return f"{reason}; the text was truncated at its token limit" if truncated(candidate) else reason
