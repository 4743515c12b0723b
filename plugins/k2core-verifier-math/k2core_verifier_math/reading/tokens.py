"""What a text is cut into."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["num", "name", "word", "fn", "cmd", "op", "const", "set", "end"]
Commas: TypeAlias = Literal["group", "list", "decimal"]
"""What a comma between digits is: 1,234 is a number, a list of two, or 1.234."""


class Unreadable(Exception):
    """The text is not in the notation that is read here; the message says where."""


class Token(NamedTuple):
    kind: Kind
    text: str
    spaced: bool = False
    """White space comes before it."""
    upright: bool = False
    r"""It stood in `\text{}` or the like: words, and never a product of letters."""


END = Token("end", "")


def prose(tokens: list[Token]) -> list[Token]:
    """Runs of letters that follow each other with blanks between are words, whatever their length."""
    for place, (one, other) in enumerate(pairwise(tokens)):
        if one.kind == other.kind == "word" and other.spaced:
            tokens[place : place + 2] = [one._replace(upright=True), other._replace(upright=True)]
    return tokens
