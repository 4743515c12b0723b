"""A whole answer: one value, several, words, a choice. `read` never raises and takes time linear in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from . import names
from .expressions import Expressions
from .lexer import tokenize
from .nodes import Choice, Clock, Const, Items, Node, Num, Quantity, Rel, Sym, Text
from .text import unframe
from .tokens import END, Commas, Token, Unreadable

LONGEST = 2000
"""Characters of an answer that is read."""

_FORMULA = re.compile(r"\$\$([^$]+)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_ESCAPED = re.compile(r"\\\\(?=[A-Za-z])")
_HALF_DAY = re.compile(r"(?<![A-Za-z])([aApP])\.\s?[mM]\b\.?")
_MONEY = re.compile(r"\$(?=\s?[\d.])|(?<=\d)\s?\$")
_CHOICE = re.compile(
    r"\s*(?:\\(?:text(?:bf|rm|it)?|mathrm|mathbf)\s*\{)?\s*\(\s*(?:\\(?:text|mathrm)\{)?([A-J])\}?\s*\)\s*\}?\s*(.*)", re.DOTALL
)
_DERIVATIVE = re.compile(r"d\s*([a-zA-Z])\s*\}\s*\{\s*d\s*[a-zA-Z]|\bd([a-zA-Z])/d[a-zA-Z]")
_JOIN = (",", ";", "and", "or", "quad", "\\\\", "&")
_FILLERS = frozenset("approximately about around roughly nearly exactly only is are equals answer result solution".split())
_VOWEL = re.compile("[aeiou]", re.IGNORECASE)
_NOTHING = re.compile(
    r"(?:there (?:is|are) )?(?:no|none|empty|the empty)(?: (?:real|integer|positive|such|possible|integral|valid))*"
    r"(?: (?:solutions?|roots?|values?|answers?|numbers?|set|integers?|pairs?|exists?))*(?: exists?)?"
)
_EVERYTHING = re.compile(
    r"(?:the set of )?(?:all|any|every) (?:real(?: numbers?| values?)?|reals)(?: [a-z])?|real numbers|the reals"
)


@lru_cache(maxsize=4096)
def read(text: str, commas: Commas = "group", *, letters: bool = False) -> Node | None:
    """The record of an answer; None where it is in no notation that is read here, or longer than 2,000 characters.

    A sentence with one formula in it, and no other number, is read as that formula; braces missing at the end are added.
    `letters` reads a lone word as a product.
    """
    if len(text) > LONGEST:
        return None
    found = _read(text, commas, letters)
    if found is None and (missing := _unclosed(text)):
        found = _read(text + "}" * missing, commas, letters)
    if found is None and len(formulas := _FORMULA.findall(text)) == 1 and not re.search(r"\d|\\[a-z]", _FORMULA.sub("", text)):
        return _read(next(part for part in formulas[0] if part), commas, letters)
    return found


def is_answer(text: str) -> bool:
    """Whether a text of at most 300 characters is, as a whole, an answer in mathematical notation."""
    if len(text) > 300 or not text.strip():
        return False
    found = _read(text, "group", False)
    return found is not None and (not isinstance(found, Text) or "$" in text or "\\" in text)


def _read(text: str, commas: Commas, letters: bool) -> Node | None:
    text = unframe(_ESCAPED.sub(r"\\", text) if "\\\\" in text and "begin" not in text else text)
    if text.count("$") % 2:
        text = _MONEY.sub(r" \\$ ", text, count=1)
    text = _HALF_DAY.sub(r"\1m", text)
    try:
        tokens = tokenize(text, commas)
        if choice := _CHOICE.fullmatch(text):
            return Choice(choice.group(1), choice.group(2).strip())
        if not letters and (words := _words(tokens, framed=bool(_FORMULA.search(text)))) is not None:
            return words
        dependents = frozenset(name for pair in _DERIVATIVE.findall(text) for name in pair if name)
        return _Answer(tokens, dependents).whole()
    except (Unreadable, RecursionError, ValueError, OverflowError):
        return None


def _unclosed(text: str) -> int:
    """How many braces are open at the end; 0 if there are more than three."""
    missing = text.count("{") - text.count("}")
    return missing if 0 < missing <= 3 and "$" not in text else 0


def _words(tokens: Sequence[Token], *, framed: bool) -> Node | None:
    """Words and nothing else; None if there is anything that could be a formula."""
    kept = [token for token in tokens[:-1] if token.text not in (".", ",")]
    plain = [token for token in kept if token.kind == "word"]
    if not plain or not all(token.kind in ("word", "name", "fn") or token.text in ("and", "or", "in", "-", "'") for token in kept):
        return None if framed else _dated(kept)
    if len(kept) < len(tokens) - 1 and all(len(token.text) == 1 for token in kept):
        return None
    if len(kept) == 1 and not plain[0].upright and not (len(plain[0].text) > 2 and _VOWEL.search(plain[0].text)):
        return None
    if len(kept) == 1 and len(plain[0].text) == 1:
        return Sym(plain[0].text)
    words = " ".join(token.text for token in kept).lower()
    if _NOTHING.fullmatch(words):
        return Const("empty")
    if _EVERYTHING.fullmatch(words):
        return Const("R")
    if words in names.NUMBER_WORDS:
        return Num(Fraction(names.NUMBER_WORDS[words]))
    return Text(words)


def _dated(kept: list[Token]) -> Text | None:
    """A word with a number behind it that is no unit: June 20, Quadrant 4."""
    if len(kept) == 2 and kept[0].kind == "word" and len(kept[0].text) > 3 and kept[1].kind == "num":
        return None if kept[0].text.lower() in _FILLERS else Text(f"{kept[0].text} {kept[1].text}".lower())
    return None


class _Answer(Expressions):
    def whole(self) -> Node:
        while self.now.kind == "word" and self.now.text.lower() in _FILLERS:
            self.take()
        groups: list[list[Node]] = [[]]
        strong = False
        while self.now.kind != "end":
            groups[-1].append(self.statement())
            joint = self.joint()
            if joint == "strong":
                strong = True
                groups.append([])
            elif joint == "" and self.now is not END:
                raise Unreadable(f"{self.now.text!r} after the answer")
        return _collected([group for group in groups if group], strong)

    def joint(self) -> str:
        """What is between two answers: a semicolon, "or" and a bare "and" separate stronger than a comma."""
        found = list[str]()
        while self.at(*_JOIN) or (self.at(".") and (self.ahead().kind == "end" or found)):
            found.append(self.take().text)
        if not found or found == ["."]:
            return ""
        return "strong" if {";", "and", "or"} & set(found) and "," not in found else "weak"


def _collected(groups: list[list[Node]], strong: bool) -> Node:
    """One list; a list of groups if each is as long and all are equations, as in p = 5, q = 2 or p = 7, q = 2."""
    if not groups:
        raise Unreadable("nothing")
    sizes = {len(group) for group in groups}
    if (
        strong
        and len(groups) > 1
        and len(sizes) == 1
        and sizes != {1}
        and all(isinstance(item, Rel) for group in groups for item in group)
    ):
        return Items("list", tuple(Items("list", tuple(group)) for group in groups))
    flat = [item for group in groups for item in group]
    flat = _shared_unit(flat)
    return flat[0] if len(flat) == 1 else Items("list", tuple(flat))


def _shared_unit(items: list[Node]) -> list[Node]:
    """3, 4 and 5 cm: the last unit is everyone's."""
    last = items[-1]
    if isinstance(last, Clock) or not isinstance(last, Quantity) or any(isinstance(item, Quantity) for item in items[:-1]):
        return items
    return [*(Quantity(item, last.unit) for item in items[:-1]), last]
