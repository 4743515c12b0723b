"""Arithmetic claims in a step, such as `3 + 4 = 7` or `20% of 50 is 10`, each checked. A claim is false only where no reading,
no rounding and no remark in its sentence could make it true."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .edges import HEDGE, LONGEST, closes, left_edge, left_end, opens, sentence
from .pair import Pair
from .reading import Reader, Reading
from .rounding import Known, unit
from .tokens import Token, tokens
from .value import Interval, Unreadable, written

_EQUALS = frozenset("is equals gives".split())
_CLAUSE = frozenset(
    "and so since that thus hence therefore then because but now as get know notice note see fact means has also yes "
    "finally".split()
)
"""Words after which a clause begins."""
_ANNOTATION = re.compile(r"<<([^<>\n=]{1,150})=([^<>\n=]{1,60})>>")


@dataclass(frozen=True, slots=True)
class Claim:
    """`left` is said to be `right`; `holds` is None where that could not be settled."""

    left: str
    right: str
    start: int
    end: int
    """Where it stands in the step."""
    holds: bool | None
    value: str = ""
    """What the left side is, when the claim is false."""


def claims(step: str, line: Sequence[Token], known: Known) -> list[Claim]:
    """All claims without symbols in a step, whose tokens `line` are; `known` grows by the roundings that were seen."""
    found = [claim for claim in _annotated(step, known) if claim is not None]
    for place, token in enumerate(line):
        if token.kind == "rel" or (token.kind == "word" and token.text in _EQUALS):
            claim = _claim(step, line, place, known)
            if claim is not None:
                found.append(claim)
    return found


def _annotated(step: str, known: Known) -> Iterator[Claim | None]:
    """`<<3+4=7>>`, as some models write beside their text: no units, no words."""
    for match in _ANNOTATION.finditer(step):
        line = tokens(match.group()[2:-2])
        relation = next((place for place, token in enumerate(line) if token.kind == "rel"), None)
        if relation is not None:
            yield _claim(match.group()[2:-2], line, relation, known, at=match.start() + 2, bare=True)


def _claim(step: str, line: Sequence[Token], relation: int, known: Known, at: int = 0, bare: bool = False) -> Claim | None:
    """The claim around one relation; None when there is no arithmetic in it."""
    try:
        stop = left_end(line, relation)
        begin = left_edge(line, stop)
        left = _side(line, begin, stop)
        if left.end != stop:
            return None
        right = _side(line, relation + 1, min(len(line), relation + 1 + LONGEST))
    except (Unreadable, RecursionError):
        return None
    words = line[relation].kind == "word"
    if not (left.operators or right.operators) or (words and (not left.operators or right.literal is None)):
        return None
    if bare and (begin or right.end < len(line)):
        return None
    listed = words or (begin > 0 and line[begin - 1].text == ",")
    if not opens(line, begin) or not closes(line, right.end, listed=listed):
        return None
    if (words and not _clause(line, begin)) or not _plain(line, begin, stop, left, words):
        return None
    right.units += _trailing(line, right.end)
    try:
        holds = Pair(line, begin, stop, relation, left, right, known).holds()
    except Unreadable:  # with the roundings allowed for, it may be a division by zero
        holds = None
    if holds is False and _is_label(line, begin, left, right):
        holds = None
    if holds is False and _defines(left, right, line[begin:stop]):
        holds = None
    if holds is False and not bare and HEDGE.search(sentence(step, line[begin].start, line[right.end - 1].end)):
        holds = None
    if holds is False and not bare and _computed_aside(step[line[relation].end :], right, known):
        holds = None
    start, middle, end = line[begin].start, line[relation], line[right.end - 1].end
    shown = written(left.value) if holds is False else ""
    return Claim(step[start : middle.start].strip(), step[middle.end : end].strip(), at + start, at + end, holds, shown)


def _computed_aside(text: str, right: Reading, known: Known) -> bool:
    """Whether an annotation computes, rightly, what then is said: the expression before the relation is a slip of the pen."""
    match = _ANNOTATION.match(text.lstrip(" $"))
    if match is None or right.literal is None:
        return False
    inner = tokens(match.group()[2:-2])
    relation = next((place for place, token in enumerate(inner) if token.kind == "rel"), 0)
    claim = _claim(match.group()[2:-2], inner, relation, known, bare=True) if relation else None
    try:
        said = _side(inner, relation + 1, len(inner)).value
    except Unreadable:
        return False
    slack = Fraction(0) if said.exact and said.lo.denominator == 1 else unit(right.literal)
    return claim is not None and claim.holds is True and said.meets(Interval.of(right.value.middle, slack))


def _side(line: Sequence[Token], begin: int, stop: int) -> Reading:
    return Reader(line, begin, stop).read()


def _trailing(line: Sequence[Token], end: int) -> list[str]:
    """The words after a claim that may be its unit."""
    found = []
    for token in line[end : end + 3]:
        if token.kind != "word":
            break
        found.append(token.text.lower())
    return found


def _is_label(line: Sequence[Token], begin: int, left: Reading, right: Reading) -> bool:
    """`Total in 2008 = 1,000 + 1,900`, `day 2 = 5 + 3`, trials such as `4 = 1 + 2`, conversions such as `1/2 cup = 4 ounces`:
    a number alone, or with a unit of its own, on the left."""
    share = left.operators == 1 and [token.text for token in line[begin + 1 : begin + 3] if not token.spaced][:1] == ["/"]
    if begin and line[begin - 1].kind == "rel":
        return False
    if (left.literal or share) and left.units and left.units != right.units:
        return True
    named = begin > 0 and line[begin - 1].kind == "word" and line[begin - 1].text.lower() not in _CLAUSE
    return left.literal is not None and (right.summed or named)


def _defines(left: Reading, right: Reading, side: Sequence[Token]) -> bool:
    """`3 * 10 = 2(3) + 5(10) - (3)(10)`: an operation that the problem has defined, with a sign that has another meaning."""
    return left.operators == 1 and right.operators > 2 and any(token.text == "*" for token in side)


def _clause(line: Sequence[Token], begin: int) -> bool:
    """Whether a clause begins with the left side; in `a circle of area 3 * 4 is ...` it does not."""
    before = line[begin - 1] if begin else None
    return before is None or before.kind != "word" or before.text.lower() in _CLAUSE or before.text == "of"


def _plain(line: Sequence[Token], begin: int, stop: int, left: Reading, words: bool) -> bool:
    """Whether the claim is about the expression itself: not what has its unit, a range, a fraction alone, or something `of` it."""
    if _is_range(line[begin:stop]) and (words or (begin and line[begin - 1].kind == "word")):
        return False
    side = [token.text for token in line[begin:stop] if token.kind != "money"]
    lone = left.operators == 1 and (side[0] == "frac" or side[1:-1] == ["/"])
    if words and (lone or (left.units and line[stop - 1].kind == "word")):
        return False
    of_it = words and begin > 1 and line[begin - 1].text == "of"
    return not of_it or line[begin - 2].text.lower() in ("total", "sum", "amount", "value", "result")


def _is_range(side: Sequence[Token]) -> bool:
    """`100-199`, `3-4-5`: numbers joined by hyphens, and nothing else."""
    plain = all(token.kind == "num" if place % 2 == 0 else token.text == "-" for place, token in enumerate(side))
    return plain and len(side) > 1 and not any(token.spaced for token in side[1:])
