"""Finds the program in what a model wrote: several readings, best first; the sandbox takes the first that is Python."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

_FENCE = re.compile(r"^(?P<indent>[ \t]*(?:>[ \t]?)*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[^\n`]*$")
_PYTHON = {"python", "py", "python3", "py3", "python2", "ipython"}
_OPENING = re.compile(r"^(?:def |class |async def |import |from |@)", re.MULTILINE)
_DEFINITION = re.compile(r"^(?:(?:async +)?def|class) +(\w+)|^(\w+)(?: *:[^=\n]{1,80})? *=(?!=)", re.MULTILINE)
_STATEMENT = re.compile(
    r"[ \t]*(?:(?:async +)?def +\w+ *\(|class +\w+|import +\w|from +[\w.]+ +import |@\w|print *\(|return\b|pass *$|raise +\w"
    r"|(?:for|while|if|with|try|elif|else)\b.*:|\w[\w.\[\],]*(?: *, *\w+)* *[-+*/%|&]?=[^=]|\w+(?:\.\w+)*\(.*\) *$)"
)
"""The start of a line that is probably Python; to be tried on short pieces only."""
_THOUGHT = "</think>"
NONE = "no code found (looked for fenced blocks, then for Python statements)"
_LONGEST = 400_000
"""Characters of text that are looked at."""


class NoCode(ValueError):
    """The text holds no program; the message says why."""


@dataclass(frozen=True)
class Block:
    """A fenced block, without its fence."""

    text: str
    language: str
    closed: bool


@dataclass(frozen=True)
class Found:
    """Programs to try, best first; the program as the text shows it; whether it is surely meant to be one."""

    programs: list[tuple[str, int]]
    """With the number of lines that come ahead of the text's own."""
    shown: str
    sure: bool


def find(text: str, *, prompt: str = "", entry: str | None = None, wanted: Sequence[str] = ()) -> Found:
    """What there is to run in a text. Raises `NoCode`.

    `prompt` is what the text may go on with, `entry` the function that it must define, `wanted` names of which one must be.
    """
    text = text.rpartition(_THOUGHT)[2] if _THOUGHT in text else text
    if len(text) > _LONGEST:
        raise NoCode(f"the text has {len(text)} characters, more than {_LONGEST}")
    if "\0" in text:
        raise NoCode("the text contains a NUL character")
    shown = _preferred(_blocks(text), wanted)
    sure = bool(shown or prompt or _OPENING.search(text))
    if not shown:
        shown = _raw(text, bool(prompt))
    readings: dict[str, int] = {}
    for block in shown:
        for program, ahead in _readings(block, prompt, entry or ""):
            readings.setdefault(program, ahead)
    return Found(list(readings.items())[:12], shown[0], sure)


def _blocks(text: str) -> list[Block]:
    found: list[Block] = []
    lines: list[str] | None = None
    opening = None
    for line in text.split("\n"):
        match = _FENCE.match(line.rstrip())
        if lines is None:
            if match:
                opening, lines = match, []
        elif match and opening and not match["language"] and match["fence"].startswith(opening["fence"]):
            found.append(Block(_unindented(lines, opening["indent"]), opening["language"].lower(), True))
            lines = None
        else:
            lines.append(line)
    if lines is not None and opening:
        found.append(Block(_unindented(lines, opening["indent"]), opening["language"].lower(), False))
    return [block for block in found if block.text.strip()]


def _unindented(lines: list[str], indent: str) -> str:
    return "\n".join(line.removeprefix(indent) for line in lines) + "\n"


def _preferred(blocks: list[Block], wanted: Sequence[str]) -> list[str]:
    """Python blocks, those that define what is wanted first, later ones before earlier ones, at last all together."""
    python = [block for block in blocks if block.language in _PYTHON] or [block for block in blocks if not block.language]
    texts = [block.text for block in reversed(python)]
    texts.sort(key=lambda text: not _defines(text, wanted))
    if len(texts) > 1:
        together = "\n".join(block.text for block in python)
        texts.insert(1 if _defines(texts[0], wanted) else len(texts), together)
    return texts


def _defines(text: str, wanted: Sequence[str]) -> bool:
    defined = {name for found in _DEFINITION.findall(text) for name in found}
    return any(name in defined for name in wanted)


def _raw(text: str, continues: bool) -> list[str]:
    """Text without fences: all of it, or from where code begins."""
    if not continues and not any(map(_is_statement, text.split("\n"))):
        raise NoCode(NONE)
    if not text.strip():
        raise NoCode("the text is empty")
    found = [text]
    if match := _OPENING.search(text):
        found.append(text[match.start() :])
        found.append(_until_prose(text[match.start() :]))
    return found


def _is_statement(line: str) -> bool:
    return _STATEMENT.match(line[:200]) is not None


def _until_prose(text: str) -> str:
    """Top-level code up to the first line that is neither indented nor the start of a definition, import or assignment."""
    lines = text.split("\n")
    for place, line in enumerate(lines):
        if line and not line[0].isspace() and not _is_statement(line) and line[0] not in "#)]}@'\"":
            return "\n".join(lines[:place]) + "\n"
    return text


def _readings(text: str, prompt: str, entry: str) -> list[tuple[str, int]]:
    """A block by itself, or as what goes on with the prompt; each with the number of lines ahead of it."""
    if not prompt:
        return [(text, 0), (textwrap.dedent(text), 0)]
    ahead = prompt.count("\n")
    if _defines(text, [entry, "Solution"] if entry else ["Solution"]):
        return [(f"{prompt}\n{text}", ahead + 1), (text, 0)]
    indented = textwrap.indent(textwrap.dedent(text), "    ")
    going_on = [prompt + text, prompt + _first_body(text), prompt + "    " + text.lstrip(" ")]
    return [*((program, ahead) for program in going_on), (f"{prompt}\n{indented}", ahead + 1), (text, 0)]


def _first_body(text: str) -> str:
    """Up to the first line that is not indented: a base model writes on after the function."""
    lines = text.split("\n")
    ends = [place for place, line in enumerate(lines) if place and line.strip() and not line[0].isspace()]
    return "\n".join(lines[: ends[0]]) + "\n" if ends else text
