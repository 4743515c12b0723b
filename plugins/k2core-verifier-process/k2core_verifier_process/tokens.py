"""A step of a solution as tokens: numbers, operators, relations, words, and everything else, which is opaque."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["num", "op", "open", "close", "rel", "word", "symbol", "func", "money", "stop", "opaque"]

UNITS = frozenset(
    "mm cm dm km kg mg ml hr hrs min mins sec secs mph kmh kph lb lbs oz ft yd yds sq cents cent am pm degrees "
    "deg kwh kw gb mb".split()
)
"""Abbreviations that are units also when they touch their number."""

_WORD_OPS = {"plus": "+", "minus": "-", "times": "*"}
_TEX_OPS = {"times": "*", "cdot": "*", "div": "/", "ast": "*", "over": "/"}
_TEX_RELS = {"approx": "~", "simeq": "~", "doteq": "~"}
_TEX_FUNCS = {
    "frac": "frac",
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "sqrt": "sqrt",
    "binom": "binom",
    "dbinom": "binom",
}
_TEX_BREAKS = frozenset(
    "implies Rightarrow Longrightarrow iff Leftrightarrow to rightarrow longrightarrow therefore because qquad".split()
)
_TEX_LAYOUT = frozenset("left right big Big bigg Bigg displaystyle textstyle quad limits nonumber boxed fbox mathbf".split())
_UNICODE_OPS = {
    "\u00d7": "*",
    "·": "*",
    "⋅": "*",
    "∙": "*",
    "÷": "/",
    "\u2212": "-",
    "\u2013": "-",
    "\u2044": "/",
    "\u2217": "*",
    "√": "√",
}
_SHARES = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅛": (1, 8), "⅙": (1, 6)}
VULGAR = "".join(_SHARES)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

_TOKEN = re.compile(
    r"""
    (?P<skip>(?:[ \t\u00a0]|\\[,;:! ]|(?<!\\)&|~)+)
  | (?P<annotation><<[^<>\n]{0,200}>>)
  | (?P<text>\\(?:text|mathrm|textbf|textit|mbox|operatorname|textrm|rm)\s?\{(?P<said>[^{}]{0,200})\})
  | (?P<table>\\(?:begin|end)\{(?:[a-zA-Z]{0,6}matrix|array|cases|tabular)\*?\})
  | (?P<layout>\\(?:begin|end|label|tag|hspace|vspace)\*?\{[^{}]{0,60}\})
  | (?P<command>\\[A-Za-z]+)
  | (?P<percent>\\?%)
  | (?P<money>\\?\$|€|£)
  | (?P<line>\\\\(?:\[[^\]]{0,20}\])?|\\\[|\\\]|\\\(|\\\)|[\n\r]+)
  | (?P<clock>\d{1,9}:\d{1,9})
  | (?P<num>(?:\d{1,3}(?:(?:,|\{,\}|,\\!)\d{3})+(?![\d])|\d+)(?:\.\d+)?|\.\d+)
  | (?P<vulgar>[½⅓⅔¼¾⅕⅖⅛⅙])
  | (?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,4})
  | (?P<per>/\s?(?:[A-Za-z]{2,20}|[hsdmL](?![A-Za-z])))
  | (?P<word>[^\W\d_]{2,}(?:['\u2019-][^\W\d_]+)*|[^\W\d_])
  | (?P<mark>\*\*(?=\s*[\d(])|==?|[-+*/^!()\[\]{}<>≤≥≠≡≈→⇒\u00d7·⋅∙÷\u2212\u2013\u2044\u2217√.,;:?])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_FORMULA = re.compile(
    r"\\\((?:[^\\]|\\(?!\))){0,600}\\\)|\\\[(?:[^\\]|\\(?!\])){0,900}\\\]|\$\$[^$]{0,900}\$\$"
    r"|\$(?=[^$\n]{0,300}[\\^_{])[^$\n]{1,600}\$"
)
"""What surely is set as a formula; single dollars count only around commands, powers or indices, since they also mean money."""
_BULLET = re.compile(r"[ \t]*(?:[-*•\u2013+#]{1,4}[ \t]+|\(?\d{1,3}[.):][ \t]+|[Ss]tep[ \t]+\d{1,3}[.:)]?[ \t]+)*")


@dataclass(frozen=True, slots=True)
class Token:
    """`value` and `places` (digits after the point) belong to numbers; `text` is an operator's one spelling, or the word."""

    kind: Kind
    text: str
    start: int
    end: int
    value: Fraction | None = None
    places: int = 0
    spaced: bool = False
    """There was space before it."""


def tokens(text: str) -> list[Token]:
    """All tokens but white space and layout. Linear in the length of `text`; numbers of over 60 digits are opaque."""
    found: list[Token] = []
    at, spaced = _after_bullet(text, 0), True
    formulas = [match.span() for match in _FORMULA.finditer(text)]
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # the last branch takes any character
        at = match.end()
        if (token := _token(match)) is None:
            spaced |= match.lastgroup != "layout"
            continue
        while formulas and formulas[0][1] <= token.start:
            formulas.pop(0)
        if match.lastgroup == "word" and len(token.text) > 1 and formulas and formulas[0][0] <= token.start:
            token = replace(token, kind="opaque")  # letters in a formula are a product, or a name
        found.append(replace(token, spaced=True) if spaced else token)
        spaced = False
        if "\n" in match.group():
            at, spaced = _after_bullet(text, at), True
    return _resolved(found)


def _after_bullet(text: str, at: int) -> int:
    """Past the marks of lists and headings at the start of a line."""
    match = _BULLET.match(text, at)
    return match.end() if match else at


def _token(match: re.Match[str]) -> Token | None:
    kind, text, span = match.lastgroup, match.group(), match.span()
    if kind == "text":
        said = (match.group("said") or "").strip(" \t~")
        return Token("word", said, *span) if said else None
    if kind in ("skip", "layout", "annotation"):
        return None
    if kind == "num":
        return _number(text, *span)
    if kind == "vulgar":
        return Token("num", text, *span, Fraction(*_SHARES[text]), 0)
    if kind == "raised":
        return Token("op", "^", *span, Fraction(int(text.translate(_RAISED))))
    if kind == "command":
        return _command(text[1:], *span)
    fixed: dict[str, tuple[Kind, str]] = {
        "percent": ("op", "%"),
        "money": ("money", "$"),
        "line": ("stop", "\n"),
        "per": ("word", text),
    }
    if kind in fixed:
        return Token(*fixed[kind], *span)
    if kind == "word":
        return Token("op", _WORD_OPS[text], *span) if text in _WORD_OPS else Token("word", text, *span)
    return _mark(text, *span) if kind == "mark" else Token("opaque", text, *span)


def _number(text: str, start: int, end: int) -> Token:
    if len(text) > 60 or (text[0] == "0" and text[1:2].isdigit()):  # too long, or a time of day
        return Token("opaque", text, start, end)
    bare = text.replace("{,}", "").replace("\\!", "").replace(",", "")
    return Token("num", text, start, end, Fraction(bare), len(bare.partition(".")[2]))


def _command(name: str, start: int, end: int) -> Token | None:
    if name in _TEX_LAYOUT:
        return None
    for table, kind in ((_TEX_OPS, "op"), (_TEX_RELS, "rel"), (_TEX_FUNCS, "func")):
        if name in table:
            return Token(kind, table[name], start, end)  # type: ignore[arg-type]  # the kinds are spelt out in the line above
    if name == "pi":
        return Token("func", "pi", start, end)
    return Token("stop" if name in _TEX_BREAKS else "opaque", name, start, end)


def _mark(text: str, start: int, end: int) -> Token:
    kinds: list[tuple[str, Kind]] = [("=≈", "rel"), ("+-*/^!", "op"), ("([{", "open"), (")]}", "close"), ("<>≤≥≠≡", "opaque")]
    text = {"**": "^", "==": "=", "≈": "~"}.get(text, _UNICODE_OPS.get(text, text))
    if text == "~":
        return Token("rel", text, start, end)
    if text == "√":
        return Token("func", "sqrt", start, end)
    for marks, kind in kinds:
        if text in marks:
            return Token(kind, text, start, end)
    return Token("stop", text, start, end)


def _resolved(found: list[Token]) -> list[Token]:
    """Settle what depends on neighbours: `x` as a sign of multiplication, letters that touch a number, dots in a row."""
    for place, token in enumerate(found):
        before = found[place - 1] if place else None
        after = found[place + 1] if place + 1 < len(found) else None
        if token.kind == "word" and len(token.text) == 1:
            found[place] = _letter(token, before, after)
        elif (token.kind == "word" and not token.text.startswith("/") and _is_name(token, before)) or (
            token.text == "." and _dotted(token, before, after)
        ):
            found[place] = replace(token, kind="opaque")
    return found


def _is_name(token: Token, before: Token | None) -> bool:
    """Letters that touch a number or a bracket and are no unit, and capitals after one, such as `2 AB`: not a word."""
    if before is None or before.kind not in ("num", "close") or token.text.lower() in UNITS:
        return False
    return before.end == token.start or (len(token.text) < 4 and token.text.isupper())


def _dotted(token: Token, before: Token | None, after: Token | None) -> bool:
    """One of several dots in a row."""
    following = after is not None and after.text == "." and after.start == token.end
    return following or (before is not None and before.text == "." and before.end == token.start)


def _letter(token: Token, before: Token | None, after: Token | None) -> Token:
    """A letter by itself is a variable, or `x` between two operands of equal distance."""
    if token.text in "xX" and before and after and before.kind in ("num", "close", "word", "op", "money"):
        operand = before.kind != "op" or before.text in "%!"
        if operand and token.spaced == after.spaced and (after.kind in ("num", "money", "func") or after.text == "("):
            return replace(token, kind="op", text="*")
    if token.text in ("a", "A", "I") and token.spaced and (after is None or after.kind == "word"):
        return token
    return replace(token, kind="symbol" if token.text.isascii() else "opaque")


LINKS = frozenset("by after before from than until between which is are was and or if with out to".split())
"""Words that are part of no unit."""


def negative(line: Sequence[Token], at: int) -> bool:
    """Whether a minus belongs to the number after it, as in `3 by -2`."""
    return line[at].text == "-" and line[at].spaced and at + 1 < len(line) and not line[at + 1].spaced
