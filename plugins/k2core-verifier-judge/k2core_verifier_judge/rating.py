"""The rating judge: a mark from 0 to 10 for each candidate by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

from k2core import Candidate, Plugin, Problem, Run, Verdict, hookimpl
from k2core.concurrency import gather

from .asking import AskingConfig, Judging
from .calibration import Calibration, load, rated
from .prompts import RATE, messages, shorten, statement, visible
from .replies import rating

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"rating": {"type": "integer", "minimum": 0, "maximum": 10}, "reason": {"type": "string"}},
    "required": ["rating", "reason"],
    "additionalProperties": False,
}
PROMPT = hashlib.sha256(RATE.encode()).hexdigest()[:16]


class RatingConfig(AskingConfig):
    """Options of `rating`."""


class Rating(Plugin):
    """Models rate each candidate from 0 to 10; the score is the mean of the ratings, or of the probabilities they stand for."""

    config: RatingConfig
    listwise: ClassVar[bool] = False
    _calibration: Calibration | None = None

    @hookimpl
    async def k2_start(self) -> None:
        if self.config.calibration:
            self._calibration = load(self.config.calibration, "rating", self.config.judges)

    @hookimpl
    async def k2_verify(
        self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None
    ) -> Sequence[Verdict]:
        judging = Judging(run, self.config, "rating")
        shown = reference if self.config.show_reference else None
        marked = await gather(marks(judging, self.config, problem, candidate.text, shown) for candidate in candidates)
        if judging.skipped:
            judging.warn(f"{judging.skipped} calls to the judge were left out after the soft deadline")
        if self._calibration is not None:
            for warning in self._calibration.warnings(PROMPT, judging.models):
                judging.warn_once(warning)
        return [self._verdict(candidate, found) for candidate, found in zip(candidates, marked, strict=True)]

    def _verdict(self, candidate: Candidate, found: dict[str, float | str | None]) -> Verdict:
        heard = {judge: mark for judge, mark in found.items() if isinstance(mark, float)}
        if not heard:
            said = next((reply for reply in found.values() if isinstance(reply, str)), None)
            shown = "" if said is None else f": {' '.join(said.split())[:80]!r}"
            why = "no call to a judge brought a reply" if said is None else f"no rating from 0 to 10 in the judge's reply{shown}"
            return Verdict(candidate_id=candidate.id, status="error", reason=why)
        judges = {} if self._calibration is None else self._calibration.judges
        values = [rated(mark, judges[judge]) if judges else mark / 10 for judge, mark in heard.items()]
        missing = f"; {len(found) - len(heard)} of {len(found)} judges gave no rating" if len(heard) < len(found) else ""
        told = f"rated {' and '.join(f'{mark:g}' for mark in heard.values())} of 10{missing}"
        return Verdict(candidate_id=candidate.id, status="undecided", score=sum(values) / len(values), reason=told)


async def marks(
    judging: Judging, config: AskingConfig, problem: Problem, text: str, reference: str | None = None
) -> dict[str, float | str | None]:
    """By judge: the mark; the reply, when there is none in it; None, when there was no reply."""
    text = visible(text)
    parts = {"PROBLEM": statement(problem)}
    if reference is not None:
        parts["REFERENCE ANSWER"] = reference
    parts["CANDIDATE"] = shorten(text, config.max_chars)
    asked = messages(RATE, parts, judging.mark)
    replies = await gather(judging.ask(judge, asked, SCHEMA, text, reference or "") for judge in config.judges)
    found = zip(config.judges, replies, strict=True)
    return {judge: reply if reply is None or (mark := rating(reply)) is None else float(mark) for judge, reply in found}
