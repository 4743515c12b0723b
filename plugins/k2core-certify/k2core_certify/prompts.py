"""What is asked. Copying, lists and code let speculation draft much, stories little."""

from __future__ import annotations

from typing import NamedTuple


class Prompt(NamedTuple):
    """A question, and for what it is asked."""

    name: str
    text: str
    max_tokens: int
    closed: tuple[str, ...] = ()
    """Texts of the tokens that the answer is to begin with."""


LONG = 96
"""Tokens of a long sample."""
SHORT = 4
"""Tokens of a sample that is drawn for its beginning; more than one, so that speculation has its chance."""

WRITING = tuple(
    Prompt(name, text, LONG)
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
FIRST = Prompt("first", "Name an animal. Answer with one word.", SHORT)
CLOSED = Prompt("closed", "Roll a die. Answer with one digit only, from 1 to 6.", SHORT, tuple("0123456789"))
ALL = (*WRITING, FIRST, CLOSED)
