"""The pairwise judge: every comparison in both orders, so that a judge who prefers a place decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from k2core import Candidate, Plugin, Problem, Run, Verdict, hookimpl
from k2core.concurrency import gather

from .asking import AskingConfig, Judging
from .prompts import COMPARE, messages, shorten, statement, visible
from .replies import Choice, choice

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"better": {"type": "string", "enum": ["A", "B", "tie"]}, "reason": {"type": "string"}},
    "required": ["better", "reason"],
    "additionalProperties": False,
}


class JudgeConfig(AskingConfig):
    pairs: Literal["all", "linear"] = "all"
    """`all` compares every two candidates, at once; `linear` each with the best so far, in N - 1 comparisons one after another."""
    swap: bool = True
    """Compare in both orders; a comparison that the order turns round is a tie."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of two texts: 1 when the first is better, -1 when the second is, 0 for a tie."""

    result: int
    asked: int = 0
    """Calls that were made or would have been."""
    answered: int = 0
    """Calls that brought a reply."""
    unparsed: int = 0
    flipped: bool = False
    """The judge preferred the same place in both orders."""


class Judge(Plugin):
    """A model compares candidates two by two, in both orders; the score is the share of comparisons won."""

    config: JudgeConfig
    listwise: ClassVar[bool] = True

    @hookimpl
    async def k2_verify(
        self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None
    ) -> Sequence[Verdict]:
        match = _Match(Judging(run, self.config, "judge"), self.config, problem, reference if self.config.show_reference else None)
        texts = [visible(candidate.text) for candidate in candidates]
        play = match.linear if self.config.pairs == "linear" else match.all
        table, champion = await play(texts)
        match.report()
        return [
            _verdict(candidate, _ranked(share, place, champion), table.get(place, []), match)
            for place, candidate in enumerate(candidates)
            for share in [_share(table.get(place, []))]
        ]


Table = dict[int, list[Comparison]]
"""By place of the candidate: its comparisons, seen from its side."""


class _Match:
    """Comparisons of one set of candidates; equal texts are compared once, and never with each other."""

    def __init__(self, judging: Judging, config: JudgeConfig, problem: Problem, reference: str | None) -> None:
        self._judging, self._config, self._problem, self._reference = judging, config, problem, reference
        self.done: dict[tuple[str, str], Comparison] = {}

    async def all(self, texts: Sequence[str]) -> tuple[Table, int | None]:
        unique = list(dict.fromkeys(texts))
        pairs = [(one, other) for at, one in enumerate(unique) for other in unique[at + 1 :]]
        for pair, result in zip(pairs, await gather(self._compare(*pair) for pair in pairs), strict=True):
            self.done[pair] = result
        table: Table = {}
        for place, text in enumerate(texts):
            table[place] = [self._seen(text, other) for at, other in enumerate(texts) if at != place]
        return table, None

    async def linear(self, texts: Sequence[str]) -> tuple[Table, int | None]:
        table: Table = {place: [] for place in range(len(texts))}
        best = 0
        for place in range(1, len(texts)):
            pair = texts[best], texts[place]
            if pair[0] != pair[1] and pair not in self.done and pair[::-1] not in self.done:
                self.done[pair] = await self._compare(*pair)
            table[best].append(self._seen(*pair))
            table[place].append(self._seen(*pair[::-1]))
            best = place if table[place][-1].result > 0 else best
        return table, best

    def _seen(self, text: str, other: str) -> Comparison:
        """The comparison from the side of `text`."""
        if text == other:
            return Comparison(0)
        if (found := self.done.get((text, other))) is not None:
            return found
        turned = self.done[other, text]
        return Comparison(-turned.result, turned.asked, turned.answered, turned.unparsed, turned.flipped)

    async def _compare(self, one: str, other: str) -> Comparison:
        orders = [(one, other), (other, one)] if self._config.swap else [(one, other)]
        replies = await gather(self._ask(*order) for order in orders)
        named = [None if reply is None else choice(reply) for reply in replies]
        answered = sum(reply is not None for reply in replies)
        return Comparison(
            result=_agreed(named),
            asked=len(orders),
            answered=answered,
            unparsed=answered - sum(name is not None for name in named),
            flipped=named in (["A", "A"], ["B", "B"]),
        )

    async def _ask(self, first: str, second: str) -> str | None:
        limit = self._config.max_chars
        parts = {"PROBLEM": statement(self._problem)}
        if self._reference is not None:
            parts["REFERENCE ANSWER"] = self._reference
        parts |= {"CANDIDATE A": shorten(first, limit), "CANDIDATE B": shorten(second, limit)}
        return await self._judging.ask(messages(COMPARE, parts, self._judging.mark), SCHEMA, first, second)

    @property
    def failed(self) -> bool:
        """Calls were made, and none brought a reply."""
        return bool(self.done) and not any(one.answered for one in self.done.values())

    @property
    def flips(self) -> str:
        flipped = sum(one.flipped for one in self.done.values())
        return f"{flipped} of {len(self.done)} comparisons flipped with the order"

    def report(self) -> None:
        """Warn of what makes the scores less than they seem."""
        flipped, unparsed = sum(one.flipped for one in self.done.values()), sum(one.unparsed for one in self.done.values())
        if flipped:
            self._judging.warn(f"position bias: {self.flips}, and count as ties")
        if unparsed:
            self._judging.warn(f"{unparsed} of {self._judging.calls} replies of the judge named no winner, and count as ties")
        if self._judging.skipped:
            self._judging.warn(
                f"{self._judging.skipped} calls to the judge were left out after the soft deadline, and count as ties"
            )


def _agreed(named: Sequence[Choice | None]) -> int:
    """1 or -1 when every order names the same candidate, else 0. The second order has the candidates exchanged."""
    signs = [{"A": 1, "B": -1}.get(name or "", 0) * (-1) ** turn for turn, name in enumerate(named)]
    return signs[0] if all(sign == signs[0] for sign in signs) else 0


def _share(comparisons: Sequence[Comparison]) -> float:
    """Wins and half the ties, of all comparisons; 1 for the only candidate."""
    return sum((one.result + 1) / 2 for one in comparisons) / len(comparisons) if comparisons else 1.0


def _ranked(share: float, place: int, champion: int | None) -> float:
    """The score. In `linear` the last champion scores in the upper half and everyone else in the lower: shares of different
    opponents do not compare, and a candidate that was beaten late could otherwise equal the one that beat it."""
    if champion is None:
        return share
    return 0.5 + share / 2 if place == champion else share / 2


def _verdict(candidate: Candidate, score: float, comparisons: Sequence[Comparison], match: _Match) -> Verdict:
    if match.failed:
        return Verdict(candidate_id=candidate.id, status="error", reason="no call to the judge brought a reply")
    counts = [sum(one.result == result for one in comparisons) for result in (1, 0, -1)]
    reason = "the only candidate, not judged"
    if comparisons:
        reason = f"{counts[0]} won, {counts[1]} tied, {counts[2]} lost; {match.flips}"
    return Verdict(candidate_id=candidate.id, status="undecided", score=score, reason=reason)
