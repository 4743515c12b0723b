"""What is asked. Copying, lists and code let speculation draft much, stories little."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from k2core import ConfigError

Turns = tuple[tuple[str, str], ...]
"""Role and content of each message."""


class Prompt(NamedTuple):
    """A question, and for what it is asked."""

    name: str
    turns: Turns
    max_tokens: int
    closed: tuple[str, ...] = ()
    """Texts of the tokens that the answer is to begin with."""


def _question(text: str) -> Turns:
    return (("user", text),)


LONG = 96
"""Tokens of a long sample."""
SHORT = 4
"""Tokens of a sample that is drawn for its beginning; more than one, so that speculation has its chance."""

WRITING = tuple(
    Prompt(name, _question(text), LONG)
    for name, text in (
        ("story", "Write a short story about a fisherman who finds a letter."),
        ("sky", "Explain to a child why the sky is blue."),
        ("hike", "List ten things to take along on a hike, with a reason for each."),
        ("code", "Write a Python function that counts the vowels of a text, and explain it."),
        ("copy", 'Repeat three times: "The grey cat sat on the warm stone wall and watched the slow river below the old mill."'),
        ("sum", "Solve step by step: a shop sells pens at 3 dollars and books at 12 dollars. What do 4 pens and 2 books cost?"),
        ("letter", "Write a letter to a friend, inviting him to a birthday party."),
        ("bee", "Describe the life of a bee in three paragraphs."),
    )
)
FIRST = Prompt("first", _question("Name an animal. Answer with one word."), SHORT)
CLOSED = Prompt("closed", _question("Roll a die. Answer with one digit only, from 1 to 6."), SHORT, tuple("0123456789"))
MOST = 32
"""Rows of a file that are asked: each several times, as tests compare answers to the same question."""


class Asked(NamedTuple):
    """What long samples are of."""

    prompts: tuple[Prompt, ...] = WRITING
    source: str = ""
    """The file's name, how many of its rows, and its SHA-256; empty for the prompts here."""


def from_file(name: str) -> Asked:
    """Rows of JSON, each with `messages`, whose last reply is left out, or with a `problem`; at most `MOST`, spread evenly.

    Raises `ConfigError`.
    """
    try:
        data = Path(name).expanduser().read_bytes()
        lines = [(number, line) for number, line in enumerate(data.decode().splitlines(), 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {name}: {error}", "--prompts") from error
    if not lines:
        raise ConfigError(f"{name} is empty", "--prompts")
    chosen = [lines[i * len(lines) // MOST] for i in range(MOST)] if len(lines) > MOST else lines
    prompts = tuple(Prompt(f"line {number}", _turns(line, f"{name}:{number}"), LONG) for number, line in chosen)
    return Asked(prompts, f"{len(prompts)} rows of {Path(name).name}, SHA-256 {hashlib.sha256(data).hexdigest()}")


def _turns(line: str, where: str) -> Turns:
    try:
        row: Any = json.loads(line)
        if isinstance(row.get("problem"), str):
            return _question(row["problem"])
        turns: Sequence[tuple[str, str]] = [(one["role"], one["content"]) for one in row["messages"]]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{where}: a row is an object with `messages` (role, content) or a `problem`", "--prompts") from error
    while turns and turns[-1][0] == "assistant":
        turns = turns[:-1]
    if not turns or not all(isinstance(part, str) for turn in turns for part in turn):
        raise ConfigError(f"{where}: there is no question in its messages, which are texts", "--prompts")
    return tuple(turns)
