"""The rating judge: a mark from 0 to 10 for each candidate by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from k2core import Candidate, Plugin, Problem, Run, Verdict, hookimpl
from k2core.concurrency import gather

from .asking import AskingConfig, Judging
from .prompts import RATE, messages, shorten, statement, visible
from .replies import rating

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"rating": {"type": "integer", "minimum": 0, "maximum": 10}, "reason": {"type": "string"}},
    "required": ["rating", "reason"],
    "additionalProperties": False,
}


class RatingConfig(AskingConfig):
    pass


class Rating(Plugin):
    """A model rates each candidate from 0 to 10."""

    config: RatingConfig
    listwise: ClassVar[bool] = False

    @hookimpl
    async def k2_verify(
        self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None
    ) -> Sequence[Verdict]:
        judging = Judging(run, self.config, "rating")
        shown = reference if self.config.show_reference else None
        return await gather(self._rate(judging, problem, candidate, shown) for candidate in candidates)

    async def _rate(self, judging: Judging, problem: Problem, candidate: Candidate, reference: str | None) -> Verdict:
        text = visible(candidate.text)
        parts = {"PROBLEM": statement(problem)}
        if reference is not None:
            parts["REFERENCE ANSWER"] = reference
        parts["CANDIDATE"] = shorten(text, self.config.max_chars)
        reply = await judging.ask(messages(RATE, parts, judging.mark), SCHEMA, text)
        if reply is None:
            return Verdict(candidate_id=candidate.id, status="error", reason="the judge was not asked, or the call failed")
        mark = rating(reply)
        if mark is None:
            shown = " ".join(reply.split())[:80]
            return Verdict(
                candidate_id=candidate.id, status="unparsed", reason=f"no rating from 0 to 10 in the judge's reply: {shown!r}"
            )
        return Verdict(candidate_id=candidate.id, status="undecided", score=mark / 10, reason=f"rated {mark:g} of 10")
