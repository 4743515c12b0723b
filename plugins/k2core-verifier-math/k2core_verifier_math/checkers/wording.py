"""Words and choice letters."""

from __future__ import annotations

import re

from ..reading.nodes import Choice, Node, Sym, Text
from .opinions import Opinion, different, equal, undecided

_LEADING = re.compile(r"([A-Ja-j])\s*[).:,]\s*\S|([A-J])\s+[A-Z][a-z]")
_ARTICLES = re.compile(r"\b(?:the|a|an)\b ?|[\"']|[^\w\s]$")


def compare_words(gold: Text, answer: Text) -> Opinion:
    """Equal but for case, white space and articles."""
    same = _bare(gold.words) == _bare(answer.words)
    return equal("the same words") if same else different("compared as words")


def _bare(text: str) -> str:
    return " ".join(_ARTICLES.sub("", text).split())


def choice_of(node: Node | None, text: str) -> str | None:
    """The letter that an answer names: (B), B, B) because …"""
    if isinstance(node, Choice):
        return node.letter
    if isinstance(node, Sym) and len(node.name) == 1 and node.name in "ABCDEFGHIJ":
        return node.name
    match = _LEADING.match(text.strip())
    return (match.group(1) or match.group(2)).upper() if match else None


def compare_choices(gold: Node | None, answer: Node | None, texts: tuple[str, str]) -> Opinion | None:
    """Where the reference is a letter or one of them is marked as a choice."""
    lone = isinstance(gold, Choice) or (isinstance(gold, Sym) and gold.name in "ABCDEFGHIJ")
    if not lone and not (isinstance(answer, Choice) and isinstance(gold, Sym)):
        return None
    letters = choice_of(gold, texts[0]), choice_of(answer, texts[1])
    if letters[1] is None:
        if isinstance(answer, Sym):
            return (equal if isinstance(gold, Sym) and gold == answer else different)("choice letter")
        return undecided("the reference is a choice letter, the answer is not")
    return (equal if letters[0] == letters[1] else different)("choice letter")
