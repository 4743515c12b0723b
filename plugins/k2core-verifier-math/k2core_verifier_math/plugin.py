"""The verifier: grades against a reference when there is one, and else lets equivalent answers vote."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from k2core.concurrency import gather
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.types import Candidate, Problem, Status, Verdict

from .check import check, letters
from .exact import canonical
from .extract import Found, extract, looked_for, reference_answer
from .pool import Opinion, Pool
from .vote import Classes

_STATUS: dict[str, tuple[Status, float]] = {
    "equal": ("correct", 1.0),
    "different": ("incorrect", 0.0),
    "undecided": ("undecided", 0.0),
    "error": ("error", 0.0),
}
"""Undecided scores 0 under a reference: a reward must not pay for an answer that nobody could check."""


class MathConfig(PluginConfig):
    timeout: float = Field(default=5.0, gt=0)
    """Seconds that one comparison may take before its worker is killed and the pair is undecided."""
    workers: int = Field(default=2, ge=1, le=64)
    """Most worker processes; they start when an answer first needs one."""
    memory_mb: int = Field(default=512, ge=128)
    """Address space of a worker in megabytes."""
    max_length: int = Field(default=2000, ge=1)
    """Longest answer, in characters, that is evaluated."""
    strict: bool = False
    """Accept an answer only where the problem's answer format asks for it, without fall-backs such as the last number."""


class MathVerifier(Plugin):
    """Grades mathematical answers by exact arithmetic, math-verify and numeric evaluation; votes without a reference."""

    config: MathConfig
    listwise: ClassVar[bool] = True

    def __init__(self, config: MathConfig | None = None) -> None:
        super().__init__(config)
        self._pool = self._new_pool()

    def _new_pool(self) -> Pool:
        return Pool(workers=self.config.workers, timeout=self.config.timeout, memory_mb=self.config.memory_mb)

    @hookimpl
    async def k2_stop(self) -> None:
        pool, self._pool = self._pool, self._new_pool()
        await asyncio.to_thread(pool.close)

    @hookimpl
    async def k2_verify(self, problem: Problem, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        found = [self._extract(problem, candidate) for candidate in candidates]
        if reference is None:
            return await self._vote(problem, candidates, found)
        return await self._grade(problem, candidates, found, reference)

    def _extract(self, problem: Problem, candidate: Candidate) -> Found | None:
        if candidate.answer is not None and candidate.answer.strip():
            return Found(candidate.answer.strip(), "given")
        return extract(candidate.text, problem.answer_format, strict=self.config.strict, truncated=_truncated(candidate))

    def _unparsed(self, problem: Problem, candidate: Candidate) -> Verdict:
        cut = _truncated(candidate)
        sought = looked_for(problem.answer_format, strict=self.config.strict, truncated=cut)
        reason = f"no answer found (looked for {sought})"
        if cut:
            reason += "; the text was truncated at its token limit"
        return Verdict(candidate_id=candidate.id, status="unparsed", reason=reason)

    async def _grade(
        self, problem: Problem, candidates: Sequence[Candidate], found: Sequence[Found | None], reference: str
    ) -> list[Verdict]:
        gold = reference_answer(reference)
        answers = list(dict.fromkeys(one.text for one in found if one))
        opinions = dict(zip(answers, await gather(self._compare(problem, gold, answer) for answer in answers), strict=True))
        return [
            self._unparsed(problem, candidate) if one is None else _graded(candidate, one, opinions[one.text])
            for candidate, one in zip(candidates, found, strict=True)
        ]

    async def _compare(self, problem: Problem, gold: str, answer: str, *, symmetric: bool = False) -> Opinion:
        if problem.answer_format == "choice":
            return letters(gold, answer)
        as_text = problem.answer_format in ("text", "code", "json")
        return await check(self._pool, gold, answer, max_length=self.config.max_length, as_text=as_text, symmetric=symmetric)

    async def _vote(self, problem: Problem, candidates: Sequence[Candidate], found: Sequence[Found | None]) -> list[Verdict]:
        async def same(one: str, other: str) -> bool:
            return (await self._compare(problem, one, other, symmetric=True))[0] == "equal"

        classes = Classes(same)
        keys = [None if one is None else await classes.add(one.text) for one in found]
        return [
            self._unparsed(problem, candidate)
            if one is None or key is None
            else Verdict(
                candidate_id=candidate.id,
                status="undecided",
                score=keys.count(key) / len(candidates),
                key=key,
                answer=one.text,
                reason=f"{keys.count(key)} of {len(candidates)} candidates agree ({one.how})",
            )
            for candidate, one, key in zip(candidates, found, keys, strict=True)
        ]


def _truncated(candidate: Candidate) -> bool:
    return candidate.completion is not None and candidate.completion.finish == "length"


def _graded(candidate: Candidate, found: Found, opinion: Opinion) -> Verdict:
    status, score = _STATUS[opinion[0]]
    return Verdict(
        candidate_id=candidate.id,
        status=status,
        score=score,
        key=canonical(found.text),
        answer=found.text,
        reason=f"{opinion[1]} (answer from {found.how})",
    )
