"""Where the sides of a claim begin and end among the tokens of a step, and which words around it forbid to take it as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .tokens import LINKS, VULGAR, Token, negative
from .value import Unreadable

LONGEST = 120
"""Most tokens of one side of a claim."""
HEDGE = re.compile(
    r"\b(?:suppose|assum\w*|unless|not (?:equal|true|possible|valid|hold|satisfied|the case|work)|isn't|can't|cannot|contradict\w*"
    r"|impossible|false|wrong|mistake\w*|incorrect\w*|try|trying|tried|trial|guess\w*|mod|modulo|bmod|pmod|base|remainder"
    r"|instead|extraneous|no solution)\b|≠|\\neq?\b|\\equiv|≡|_\{?\d",
    re.IGNORECASE,
)
"""In a sentence with one of these, what is false may be meant so, or is said in other terms."""
_SENTENCE = re.compile(r"[.!?](?=\s)|\n")
_BEFORE = frozenset(
    "times thrice twice half double triple quadruple third quarter fifth by less more plus minus over per squared cubed root "
    "quotient factorial mod modulo log ln sin cos tan sec csc cot max min gcd lcm floor ceil percent percentage hundred "
    "thousand million billion dozen negative".split()
)
"""After one of these words a number may be an operand of what the word says."""
_PARTS = _BEFORE | frozenset(
    "halves thirds fourths quarters fifths sixths eighths tenths fourth sixth eighth tenth square cube power".split()
)
"""With `of` after them, too."""
_AFTER = frozenset(
    "of times plus minus dozen hundred thousand thousands million billion trillion score half halves quarters percent remainder "
    "r squared cubed over divided multiplied pairs out mod and/or".split()
)
"""Before one of these words a number is not yet the whole value."""


def left_edge(line: Sequence[Token], relation: int, *, symbols: bool = False) -> int:
    """Where the left side begins: as far back from the relation as tokens can belong to one expression."""
    edge, at = relation, relation - 1
    while at >= 0 and relation - at <= LONGEST:
        token = line[at]
        if token.kind == "word":
            run = at
            while run >= 0 and line[run].kind == "word" and at - run < 4:
                run -= 1
            attached = run >= 0 and _ends(line[run]) and (line[at + 1].kind in ("op", "rel", "close") or at + 1 == relation)
            linked = negative(line, at + 1) or any(one.text.lower() in LINKS for one in line[run + 1 : at + 1])
            if (linked or not attached) and not _is_of(line, at):
                break
            at = run
        elif (
            token.kind in ("stop", "opaque", "rel")
            or (token.kind == "symbol" and not symbols)
            or (token.kind in ("num", "close", "func") and at + 1 < edge and _apart(token, line[at + 1]))
        ):
            break
        else:
            at -= 1
            edge = at + 1
    return _balanced(line, edge, relation)


def _apart(token: Token, after: Token) -> bool:
    """Two operands side by side that are no product: they belong to different expressions."""
    if after.kind == "num" and after.text not in VULGAR:
        return token.kind in ("num", "close") and not (token.kind == "close" and token.text == "}")
    return False


def _ends(token: Token) -> bool:
    return token.kind in ("num", "close") or token.text in ("%", "!")


def _is_of(line: Sequence[Token], at: int) -> bool:
    return line[at].text == "of" and at > 0 and (line[at - 1].text in ("%", "}") or (at > 1 and line[at - 2].text == "/"))


def _balanced(line: Sequence[Token], edge: int, relation: int) -> int:
    """Past the last bracket that opens before the relation and does not close."""
    open_at: list[int] = []
    for at in range(edge, relation):
        if line[at].kind == "open":
            open_at.append(at)
        elif line[at].kind == "close":
            if not open_at:
                raise Unreadable("a bracket that was not opened")
            open_at.pop()
    edge = open_at[-1] + 1 if open_at else edge
    while edge < relation and line[edge].kind == "word":
        edge += 1
    if edge >= relation:
        raise Unreadable("nothing before the relation")
    return edge


def opens(line: Sequence[Token], begin: int) -> bool:
    """Whether nothing before the left side belongs to it."""
    first = line[begin]
    if first.kind == "op" and (first.text != "-" or (begin and line[begin - 1].kind == "word" and not negative(line, begin))):
        return False
    if begin == 0:
        return True
    before, earlier = line[begin - 1], line[begin - 2] if begin > 1 else None
    touching = before.end == first.start
    if before.kind == "word":
        return not (touching or _operates(line, begin - 1) or _sums_before(line, begin - 1))
    if before.kind == "open":
        return earlier is None or earlier.kind in ("word", "num", "stop", "rel", "money")
    if before.text in (".", ",", ":") and touching and earlier is not None and earlier.end == before.start:
        return earlier.kind not in ("num", "opaque", "close")
    return before.kind in ("stop", "rel", "money")


def _sums_before(line: Sequence[Token], at: int) -> bool:
    """`20 + 10 more to the 29 + 24`: another expression in the same clause, that the result may include."""
    while at >= 0 and line[at].kind in ("word", "num", "money"):
        at -= 1
    return at >= 0 and line[at].kind == "op" and line[at].text in "+-*/" and line[at + 1].kind in ("num", "money")


def _operates(line: Sequence[Token], at: int) -> bool:
    """Whether the word may make an operand of what follows it: `twice`, `half of`, `3 less than`."""
    word, before = line[at].text.lower(), line[at - 1] if at else None
    if word == "of":
        return before is not None and (before.kind != "word" or before.text.lower() in _PARTS)
    if word == "and":
        return before is not None and before.kind == "num"
    if word == "than":
        return at > 1 and line[at - 2].kind != "word"
    return word in _BEFORE


def closes(line: Sequence[Token], end: int, *, listed: bool = False) -> bool:
    """Whether nothing after the right side belongs to it; `listed`: a comma and a number after it would."""
    if end >= len(line):
        return True
    after, following = line[end], line[end + 1] if end + 1 < len(line) else None
    if after.kind == "word":
        if after.text.lower() == "to":
            return following is None or following.kind != "num"
        if after.text.lower() == "and":
            return following is None or following.text.lower() not in ("a", "half", "one")
        compares = following is not None and following.text == "than"
        return after.text.lower() not in _AFTER and not compares
    if after.text in (".", ":", ",") and following is not None and not (following.spaced or after.spaced):
        return following.kind not in ("num", "opaque", "func", "symbol")  # 3.\\overline{3}, 2:3
    if after.text == ":" and following is not None:
        return following.kind != "num"  # a division
    if after.text == "," and following is not None and following.kind in ("num", "func"):
        return not listed
    return after.kind in ("stop", "rel", "close", "money")


def left_end(line: Sequence[Token], relation: int) -> int:
    """Where the left side ends: at the relation, or before `, which` in `3 times 4, which is 12`."""
    end = relation
    if line[relation].kind == "word" and relation > 1 and line[relation - 1].text == "which":
        end -= 2 if line[relation - 2].text == "," else 1
    while end > 1 and line[end - 1].kind == "money":
        end -= 1
    return end


def sentence(step: str, start: int, end: int) -> str:
    """The sentence around a claim, or what is near it."""
    before = [match.end() for match in _SENTENCE.finditer(step, max(0, start - 300), start)]
    after = _SENTENCE.search(step, end, min(len(step), end + 200))
    return step[before[-1] if before else max(0, start - 300) : after.start() if after else min(len(step), end + 200)]
