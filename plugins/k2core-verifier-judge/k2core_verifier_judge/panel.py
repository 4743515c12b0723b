"""Several judges on one pair of texts: what each says in both orders, and what they say together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from k2core import Problem
from k2core.concurrency import gather

from .asking import AskingConfig, Judging
from .prompts import COMPARE, messages, shorten, statement
from .replies import Choice, choice

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"better": {"type": "string", "enum": ["A", "B", "tie"]}, "reason": {"type": "string"}},
    "required": ["better", "reason"],
    "additionalProperties": False,
}
PROMPT = hashlib.sha256(COMPARE.encode()).hexdigest()[:16]
"""Names the rules that judges are given; a calibration holds for these only."""

Outcome: TypeAlias = Literal["agree", "lean", "tie", "flip", "first", "second", "void"]


@dataclass(frozen=True, slots=True)
class Opinion:
    """One judge on two texts; replies in the first order, then with the texts exchanged."""

    judge: str
    replies: tuple[Choice | None, ...]
    """What each order named; None where it named nothing."""
    answered: tuple[bool, ...] = (True, True)
    """Where there was a reply at all."""

    @property
    def outcome(self) -> Outcome:
        """What became of it.

        `agree`: both orders name the same text; `lean`: one order names it, the other says tie; `tie`: both do; `flip`: the order
        decides; `first`, `second`: the place that a judge named who was asked in one order only; `void`: a reply is missing.
        """
        if None in self.replies:
            return "void"
        if len(self.replies) == 1:
            named: dict[str, Outcome] = {"A": "first", "B": "second", "tie": "tie"}
            return named[str(self.replies[0])]
        signs = self.signs
        if 0 in signs:
            return "lean" if any(signs) else "tie"
        return "agree" if signs[0] == signs[1] else "flip"

    @property
    def signs(self) -> list[int]:
        """By order: 1 when the first text is named, -1 when the second is, else 0."""
        return [{"A": 1, "B": -1}.get(name or "", 0) * (-1) ** turn for turn, name in enumerate(self.replies)]

    @property
    def result(self) -> int:
        """1 or -1 when every order names the same text, else 0."""
        return self.signs[0] if self.outcome in ("agree", "first", "second") else 0

    @property
    def leaning(self) -> int:
        """The text that is named at least once and never contradicted: 1, -1, or 0 for none."""
        return 0 if self.outcome in ("flip", "void") else max(-1, min(1, sum(self.signs)))


class Panel:
    """Asks judges about pairs of texts."""

    def __init__(self, judging: Judging, config: AskingConfig, problem: Problem, reference: str | None, swap: bool) -> None:
        self._judging, self._config, self._problem, self._reference, self._swap = judging, config, problem, reference, swap

    async def opinions(self, one: str, other: str) -> list[Opinion]:
        """Of every judge, in the order of the configuration, side by side."""
        return await gather(self._opinion(judge, one, other) for judge in self._config.judges)

    async def _opinion(self, judge: str, one: str, other: str) -> Opinion:
        orders = [(one, other), (other, one)] if self._swap else [(one, other)]
        replies = await gather(self._ask(judge, *order) for order in orders)
        named = tuple(None if reply is None else choice(reply) for reply in replies)
        return Opinion(judge, named, tuple(reply is not None for reply in replies))

    async def _ask(self, judge: str, first: str, second: str) -> str | None:
        limit = self._config.max_chars
        parts = {"PROBLEM": statement(self._problem)}
        if self._reference is not None:
            parts["REFERENCE ANSWER"] = self._reference
        parts |= {"CANDIDATE A": shorten(first, limit), "CANDIDATE B": shorten(second, limit)}
        asked = messages(COMPARE, parts, self._judging.mark)
        return await self._judging.ask(judge, asked, SCHEMA, first, second, self._reference or "")


def disagree(opinions: Sequence[Opinion]) -> bool:
    """Whether two judges name different texts."""
    results = {opinion.result for opinion in opinions}
    return {1, -1} <= results
