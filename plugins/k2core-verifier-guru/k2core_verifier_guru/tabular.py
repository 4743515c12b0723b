"""Tables (HiTab, MultiHiertt, FinQA): numbers within a tolerance, texts by their words, lists in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from k2core_verifier_math.extract import extract, looked_for
from pydantic import Field

from k2core import Candidate, Plugin, PluginConfig, Verdict, hookimpl

from .equality import short
from .finding import Found, truncated, visible
from .grading import Opinion, right, unparsed, verdict, votes, wrong
from .numbers import Quantity, compare, quantity
from .reference import load
from .tables import items
from .wording import plain

_MOST = 50
"""Items of the longest list that is compared."""


class TabularConfig(PluginConfig):
    tolerance: float = Field(default=1e-3, ge=0, lt=1)
    """Relative difference at which two numbers count as equal, of the larger one."""
    exact_whole: bool = True
    """Two numbers written as whole ones, such as years and counts, must be equal; the tolerance is for the others."""
    percent: Literal["marked", "any"] = "marked"
    """`marked`: 13.2% equals 13.2 and 0.132. `any`: a number also equals its hundredth and hundredfold, as in Guru's own reward."""
    strict: bool = False
    """Accept an answer only where the problem's answer format asks for it, without fall-backs such as the last number."""


class Tabular(Plugin):
    """Grades answers read or computed from tables; votes without a reference."""

    config: TabularConfig
    listwise: ClassVar[bool] = True

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        found = [self._find(candidate) for candidate in candidates]
        if reference is None:
            return votes(candidates, found, lambda one: key(one.text), self._missing)
        gold = expected(reference)
        return [
            unparsed(candidate, self._missing(candidate))
            if one is None
            else verdict(candidate, one, self._grade(one.text, gold), key(one.text))
            for candidate, one in zip(candidates, found, strict=True)
        ]

    def _find(self, candidate: Candidate) -> Found | None:
        if candidate.answer is not None and candidate.answer.strip():
            return Found(candidate.answer.strip(), "given")
        cut = truncated(candidate)
        found = extract(candidate.text, "boxed", strict=self.config.strict, truncated=cut)
        if found and found.how in ("boxed", "tag", "hashes", "sentence"):
            return Found(found.text, found.how)
        whole = visible(candidate.text).strip()
        if not (self.config.strict or cut) and whole and "\n" not in whole and (quantity(whole) or len(whole) <= 60):
            return Found(whole, "the whole text")
        return Found(found.text, found.how) if found else None

    def _missing(self, candidate: Candidate) -> str:
        cut = truncated(candidate)
        sought = looked_for("boxed", strict=self.config.strict, truncated=cut)
        return f"no answer found (looked for {sought})" + ("; the text was truncated at its token limit" if cut else "")

    def _grade(self, answer: str, gold: Sequence[str]) -> Opinion:
        if len(gold) == 1:
            return self._single(answer, gold[0])
        mine = parts(answer, like=gold)
        if max(len(mine), len(gold)) > _MOST:
            return Opinion("undecided", f"a list of more than {_MOST} items")
        if len(mine) != len(gold):
            return wrong(f"{len(mine)} values in place of {len(gold)}")
        opinions = [[self._single(one, other).status for other in gold] for one in mine]
        if matched(opinions, lambda status: status == "correct"):
            return right(f"all {len(gold)} values, in any order")
        if matched(opinions, lambda status: status != "incorrect"):
            return Opinion("undecided", "values whose units or scales differ from the reference's")
        return wrong("the values differ")

    def _single(self, answer: str, gold: str) -> Opinion:
        config = self.config
        one, other = quantity(gold), quantity(answer)
        if one is None or other is None:
            return _words(answer, gold)
        outcome = compare(one, other, config.tolerance, exact_whole=config.exact_whole, any_percent=config.percent == "any")
        if outcome == "equal":
            return right(f"the numbers are equal within {config.tolerance:g}")
        if outcome == "undecided":
            return Opinion("undecided", "the numbers agree, but not their units or scales")
        return wrong("the numbers differ")


def _words(answer: str, gold: str) -> Opinion:
    mine, theirs = plain(answer), plain(gold)
    if mine == theirs or mine.removeprefix("the ") == theirs.removeprefix("the "):
        return right("the same text")
    if theirs and quantity(gold) is None and f" {theirs} " in f" {mine} " and len(mine) <= 3 * len(theirs) + 20:
        return Opinion("undecided", "the answer holds the reference and more")
    return wrong("another text")


def expected(reference: str) -> list[str]:
    """The values of a reference: `a|b|c`, a JSON list, a number, or text."""
    value: Any = load(reference)
    if isinstance(value, list):
        return [_as_text(one) for one in value] or [""]
    text = _as_text(value)
    return [part.strip() for part in text.split("|")] if "|" in text else [text.strip()]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def parts(answer: str, like: Sequence[str]) -> list[str]:
    """An answer's values: between bars where it has some, else as a list of any form."""
    if "|" in answer:
        return [part.strip() for part in answer.strip().strip("|").split("|")]
    found = items(answer)
    return found if len(found) == len(like) or len(like) == 1 else [part.strip() for part in answer.split(", ")]


def matched(opinions: Sequence[Sequence[str]], fits: Callable[[str], bool]) -> bool:
    """Whether each row can have a column of its own that fits (Kuhn's algorithm)."""
    owner: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, status in enumerate(opinions[row]):
            if fits(status) and column not in seen:
                seen.add(column)
                if column not in owner or place(owner[column], seen):
                    owner[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(opinions)))


def key(answer: str) -> str:
    """What answers vote by: the number as it is to 12 digits, or the words; the items of a list in order of their text."""
    if "|" in answer:
        return short("|".join(sorted(key(part) for part in answer.split("|") if part.strip())))
    number = quantity(answer)
    return short(plain(answer)) if number is None else _number_key(number)


def _number_key(number: Quantity) -> str:
    try:
        return f"{float(number.scaled):.12g}{'%' if number.percent else ''}{number.currency and ' ' + number.currency}"
    except OverflowError:
        return short(str(number.scaled))
