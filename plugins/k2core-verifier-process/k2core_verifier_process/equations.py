"""Equations with symbols: those that nothing can satisfy, and linear ones that do not follow from the one before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from .claims import Claim
from .edges import HEDGE, LONGEST, closes, left_edge, opens, sentence
from .reading import Reader
from .tokens import Token
from .units import mixed_units
from .value import Interval, Unreadable, written

_POINTS = tuple(map(Fraction, (2, 3, 5, 11, 17)))
_DERIVES = re.compile(
    r"solv|simplif|subtract|\badd(?:ing|ed)?\b|divid|multipl|combin|both sides|like terms|we (?:get|have|find|obtain)|giv(?:es|ing)"
    r"|\bso\b|thus|therefore|hence|yield|impl(?:y|ies)|becomes|rearrang|isolat|⇒|\\Rightarrow|\\implies|factor|expand|distribut"
    r"|which is",
    re.IGNORECASE,
)
_BREAKS = re.compile(
    r"\b(?:if|case|cases|or|suppose|assume|let|when|where|another|second|other|also|for (?!x\b|\$?[a-z]\$?\b)|instead|similarly"
    r"|given|since|because|know|now|new|original\w*|try|check|verify|equations|first equation|substitut\w*|plug\w*|repeat\w*|option"
    r"|average|total|but|however|means|represent\w*|denote\w*|and)\b",
    re.IGNORECASE,
)
_STEP_MARK = re.compile(r"\bstep\s+\d+\s*[:.]?", re.IGNORECASE)
_LISTED = re.compile(r"\(?\b[A-Ha-h\d]\)|\b(?:equation|option|case)s?\b", re.IGNORECASE)
"""Marks of lists and choices: the equations of a list do not follow from each other."""
_OPEN_ENDED = re.compile(
    r"no solution|inconsistent|parallel|contradict|never|case|[|<>≤≥]|\\[lg]eq?\b|\\lvert|not possible|impossible|not true|false",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Equation:
    """A linear equation in one symbol."""

    symbol: str
    root: Fraction
    text: str
    solved: bool
    """The symbol alone on one side, its value on the other."""
    unit: str
    """The word after it, if that may be a unit."""
    decimal: bool
    """It has numbers that may have been rounded."""


@dataclass(slots=True)
class Derivation:
    """The last equation and what was said since; symbols that may have several values are left alone."""

    last: Equation | None = None
    since: str = ""
    several: set[str] = field(default_factory=set)


def derived(step: str, line: Sequence[Token], derivation: Derivation) -> Iterator[Claim]:
    """Claims of a step that are false as equations; `derivation` goes on from step to step."""
    at = 0
    for place, token in enumerate(line):
        if token.kind != "rel":
            continue
        try:
            found = _Found(step, line, place)
        except (Unreadable, RecursionError):
            derivation.last = None
            continue
        if not found.symbols:
            continue
        derivation.since += step[at : found.start]
        at = found.end
        if (claim := found.judged(derivation)) is not None:
            yield claim
    derivation.since = (derivation.since + step[at:])[-600:]


class _Found:
    """The equation around one relation. Raises `Unreadable` where it cannot be evaluated."""

    def __init__(self, step: str, line: Sequence[Token], relation: int) -> None:
        self._step, self._line, self._relation = step, line, relation
        self._begin = left_edge(line, relation, symbols=True)
        stop = min(len(line), relation + 1 + LONGEST)
        names = {token.text: Fraction(2) for token in line[self._begin : stop] if token.kind == "symbol"}
        right = Reader(line, relation + 1, stop, symbols=names).read()
        self._stop = right.end
        if not opens(line, self._begin) or not closes(line, self._stop):
            raise Unreadable("it goes on outside")
        self.symbols = sorted({token.text for token in line[self._begin : self._stop] if token.kind == "symbol"})
        self.start, self.end = line[self._begin].start, line[self._stop - 1].end

    def _difference(self, values: dict[str, Fraction]) -> Fraction:
        left = Reader(self._line, self._begin, self._relation, symbols=values).read()
        right = Reader(self._line, self._relation + 1, self._stop, symbols=values).read()
        if left.end != self._relation or right.end != self._stop or left.percents or right.percents:
            raise Unreadable("not the whole side")
        if {*left.units, *right.units} - {"$"} or left.ambiguous or right.ambiguous:
            raise Unreadable("words between the symbols")
        gap = left.value - right.value
        if not gap.exact:
            raise Unreadable("rounded values")
        return gap.lo

    def judged(self, derivation: Derivation) -> Claim | None:
        """What is wrong with it, if something surely is."""
        since, last, alone = derivation.since, derivation.last, len(self.symbols) == 1
        derivation.since, derivation.last = "", None
        try:
            gaps = [
                self._difference({name: point if alone else _scattered(point, name) for name in self.symbols}) for point in _POINTS
            ]
        except Unreadable:
            return None
        if len(set(gaps)) == 1:
            return self._impossible(gaps[0], derivation)
        if len(self.symbols) > 1:
            return None
        slope = (gaps[1] - gaps[0]) / (_POINTS[1] - _POINTS[0])
        if any(gap != gaps[0] + slope * (point - _POINTS[0]) for gap, point in zip(gaps, _POINTS, strict=True)):
            derivation.several.add(self.symbols[0])
            return None
        derivation.last = self._linear(_POINTS[0] - gaps[0] / slope)
        return self._follows(last, derivation.last, since) if last and self.symbols[0] not in derivation.several else None

    def _linear(self, root: Fraction) -> Equation:
        span = self._line[self._begin : self._stop]
        numbers = [token for token in span if token.kind == "num"]
        sides = self._line[self._begin : self._relation], self._line[self._relation + 1 : self._stop]
        bare = [sum(token.kind not in ("money", "open", "close") for token in side) == 1 for side in sides]
        symbolic = [any(token.kind == "symbol" for token in side) for side in sides]
        solved = (bare[0] and symbolic[0] and not symbolic[1]) or (bare[1] and symbolic[1] and not symbolic[0])
        text = self._step[self.start : self.end]
        return Equation(self.symbols[0], root, text, solved, self._unit(), any(token.places for token in numbers))

    def _unit(self) -> str:
        after = self._line[self._stop] if self._stop < len(self._line) else None
        return after.text.lower() if after is not None and after.kind == "word" else ""

    def _impossible(self, gap: Fraction, derivation: Derivation) -> Claim | None:
        """Both sides differ by the same amount, whatever the symbols are. Once that was meant so, it may go on."""
        if not gap or derivation.several.intersection(self.symbols):
            return None
        alone = self._relation - self._begin == 1
        near = self._step[max(0, self.start - 200) : self.end + 200]
        said = sentence(self._step, self.start, self.end)
        listed = _LISTED.search(self._step[max(0, self.start - 40) : self.start]) or re.search(r"\b[Ii]f\b", said)
        if alone or listed or _OPEN_ENDED.search(near) or HEDGE.search(said):
            derivation.several.update(self.symbols)
            return None
        return self._claim(f"the left side is the right side {'plus' if gap > 0 else 'minus'} {written(Interval.of(abs(gap)))}")

    def _follows(self, last: Equation, now: Equation, since: str) -> Claim | None:
        if (
            mixed_units([last.unit], [now.unit])
            or last.symbol != now.symbol
            or last.root == now.root
            or last.solved
            or len(since) > 300
        ):
            return None
        said = _STEP_MARK.sub(" ", since)
        plain = not re.search("[A-Za-z]{3}|^\\s*\\d{1,2}\\.\\s", said, re.MULTILINE)  # no words, and no number of a list
        if _BREAKS.search(said) or _LISTED.search(said) or not ((plain and "," not in said) or _DERIVES.search(said)):
            return None
        if _near(last, now) or HEDGE.search(sentence(self._step, self.start, self.end)):
            return None
        return self._claim(
            f"from {last.text} follows {now.symbol} = {written(Interval.of(last.root))}, and not {written(Interval.of(now.root))}"
        )

    def _claim(self, value: str) -> Claim:
        middle = self._line[self._relation]
        left, right = self._step[self.start : middle.start].strip(), self._step[middle.end : self.end].strip()
        return Claim(left, right, self.start, self.end, False, value)


def _scattered(point: Fraction, name: str) -> Fraction:
    """A value for one of several symbols, such that no two of them are related."""
    return Fraction(int(point) * (ord(name) % 89 + 7) ** 2 % 1009 + 2)


def _near(last: Equation, now: Equation) -> bool:
    """Close enough to be a rounding."""
    gap = abs(last.root - now.root)
    if last.decimal or now.decimal:
        return gap <= max(Fraction(1, 10), abs(last.root) / 50)
    return now.solved and last.root.denominator != 1 and gap < 1
