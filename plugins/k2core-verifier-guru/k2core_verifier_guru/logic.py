"""Logic: puzzle tables by cell, grids and orderings exactly, words and numbers by their plain form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from k2core import Candidate, Plugin, PluginConfig, Verdict, hookimpl

from . import tables
from .equality import canonical, short
from .finding import Found, find, missing
from .grading import Opinion, right, unparsed, verdict, votes, wrong
from .literals import Unreadable, read
from .reference import load
from .wording import cell, unlatex


class LogicConfig(PluginConfig):
    partial: bool = True
    """Score a wrong table by its share of right cells; its status stays `incorrect`. Other answers score 0 or 1."""
    strict: bool = False
    """Accept an answer only in `<answer>`, a box or a fenced block."""


class Logic(Plugin):
    """Grades answers of logic puzzles: tables, grids, orderings, words and numbers; votes without a reference."""

    config: LogicConfig
    listwise: ClassVar[bool] = True

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        found = [find(candidate, strict=self.config.strict) for candidate in candidates]
        if reference is None:
            return votes(candidates, found, lambda one: key(one.text), missing)
        gold = load(reference)
        return [
            unparsed(candidate, missing(candidate)) if one is None else self._verdict(candidate, one, gold)
            for candidate, one in zip(candidates, found, strict=True)
        ]

    def _verdict(self, candidate: Candidate, found: Found, gold: Any) -> Verdict:
        opinion = grade(found.text, gold)
        if opinion.status == "incorrect" and not self.config.partial:
            opinion = wrong(opinion.reason)
        return verdict(candidate, found, opinion, key(found.text))


def grade(answer: str, gold: Any) -> Opinion:
    """An answer against a reference that `reference.load` has read; its kind decides what the answer is read as."""
    if isinstance(gold, dict):
        return _table(answer, gold) if "rows" in gold else _value(answer, gold)
    if isinstance(gold, list) and gold and all(isinstance(row, list) for row in gold):
        return _grid(answer, gold)
    if isinstance(gold, list) and not any(isinstance(one, dict) for one in gold):
        return _ordering(answer, gold)
    return _value(answer, gold) if isinstance(gold, list) else _text(answer, gold)


def _table(answer: str, gold: dict[str, Any]) -> Opinion:
    expected = tables.table(gold)
    if expected is None or not expected.cells:
        return Opinion("error", "the reference's `rows` are no table")
    try:
        mine = tables.table(_read(answer))
    except Unreadable as error:
        return Opinion("unparsed", f"the answer is no table: {error}")
    if mine is None:
        return Opinion("unparsed", "the answer has no `rows`")
    part = tables.share(mine, expected)
    reason = f"{part:.0%} of the cells are right"
    return right(reason) if part == 1 else wrong(reason, part)


def _grid(answer: str, gold: list[list[Any]]) -> Opinion:
    mine = tables.grid(unlatex(answer))
    if mine is None:
        return Opinion("unparsed", "the answer is no grid")
    expected, given = tables.table(gold), tables.table(mine)
    if expected == given:
        return right("the grids are equal")
    shape = [len(mine), len(mine[0])] == [len(gold), len(gold[0])]
    return wrong("the grids differ" if shape else "the grids differ in shape")


def _ordering(answer: str, gold: list[Any]) -> Opinion:
    mine, expected = tables.items(answer), [cell(one) for one in gold]
    if mine == expected:
        return right("the lists are equal")
    return wrong("the same items in another order" if sorted(mine) == sorted(expected) else "the lists differ")


def _value(answer: str, gold: Any) -> Opinion:
    try:
        mine = _read(answer)
    except Unreadable as error:
        return Opinion("unparsed", f"the answer is no literal: {error}")
    return right("the values are equal") if canonical(_worded(mine)) == canonical(_worded(gold)) else wrong("the values differ")


def _text(answer: str, gold: Any) -> Opinion:
    return right("the same text") if cell(answer) == cell(gold) else wrong("another text")


def _read(answer: str) -> Any:
    """The literal in the answer; in a box its braces are escaped."""
    try:
        return read(answer)
    except Unreadable:
        return read(unlatex(answer))


def _worded(value: Any) -> Any:
    if isinstance(value, dict):
        return {cell(name): _worded(part) for name, part in value.items()}
    return [_worded(part) for part in value] if isinstance(value, list) else cell(value)


def key(answer: str) -> str:
    """What answers vote by: the plain form of a literal's parts, or of the text."""
    text = answer.strip()
    if text.startswith(("[", "{", "(", r"\{")):
        try:
            return short(canonical(_worded(_read(text))))
        except Unreadable:
            if text.startswith(("[", "(")):
                return short(canonical(tables.items(text)))
    return short(cell(text))
