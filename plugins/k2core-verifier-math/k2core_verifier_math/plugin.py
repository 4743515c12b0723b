"""The verifier: grades against a reference when there is one, and else lets equivalent answers vote."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from pydantic import Field

from k2core.concurrency import gather
from k2core.errors import explain
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.types import Candidate, Problem, Status, Verdict

from .breath import Breath
from .check import check, letters, quick, wording
from .exact import canonical
from .extract import Found, extract, is_cut, looked_for, reference_answer, visible
from .guard import too_hard
from .memory import Key, Opinions
from .pool import SLOW, Opinion, Pool
from .vote import Classes

_STATUS: dict[str, tuple[Status, float]] = {
    "equal": ("correct", 1.0),
    "different": ("incorrect", 0.0),
    "undecided": ("undecided", 0.0),
    "error": ("error", 0.0),
}
"""Undecided scores 0 under a reference: a reward must not pay for an answer that nobody could check."""

_AS_TEXT = ("text", "code", "json")
"""Answer formats whose answers are compared as text."""

_PROBE = r"\sqrt{x^{2}+1}"
"""Compared with an answer to see whether it can be compared in a short time."""
_LONGEST_REASON = 300


class MathConfig(PluginConfig):
    timeout: float = Field(default=5.0, gt=0)
    """Seconds that one comparison may take before its worker is killed and the pair is undecided."""
    workers: int = Field(default=2, ge=1, le=64)
    """Most worker processes; they start when an answer first needs one."""
    memory_mb: int = Field(default=512, ge=128)
    """Address space of a worker in megabytes."""
    max_length: int = Field(default=2000, ge=1)
    """Longest answer, in characters, that is evaluated."""
    remember: int = Field(default=16_384, ge=0)
    """Number of opinions on pairs of answers that are remembered, for repeated verifications."""
    strict: bool = False
    """Accept an answer only where the problem's answer format asks for it, without fall-backs such as the last number."""


class MathVerifier(Plugin):
    """Grades mathematical answers by independent checkers, in processes that can be killed; votes without a reference."""

    config: MathConfig
    listwise: ClassVar[bool] = True

    def __init__(self, config: MathConfig | None = None) -> None:
        super().__init__(config)
        self._pool = self._new_pool()
        self._opinions = Opinions(self.config.remember)
        self._breath = Breath()

    def _new_pool(self) -> Pool:
        return Pool(workers=self.config.workers, timeout=self.config.timeout, memory_mb=self.config.memory_mb)

    @hookimpl
    async def k2_stop(self) -> None:
        pool, self._pool = self._pool, self._new_pool()
        await asyncio.to_thread(pool.close)

    @hookimpl
    async def k2_verify(self, problem: Problem, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        found = await self._extract(problem, candidates)
        if reference is None:
            return await self._vote(problem, candidates, found)
        return await self._grade(problem, candidates, found, reference)

    async def _extract(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Found | None]:
        found = list[Found | None]()
        for candidate in candidates:
            await self._breath.take()
            found.append(self._found(problem, candidate))
        return found

    def _found(self, problem: Problem, candidate: Candidate) -> Found | None:
        if candidate.answer is not None and candidate.answer.strip():
            return Found(clean(candidate.answer.strip()), "given")
        cut = _truncated(candidate)
        return extract(clean(candidate.text), problem.answer_format, strict=self.config.strict, truncated=cut)

    def _unparsed(self, problem: Problem, candidate: Candidate) -> Verdict:
        cut = _truncated(candidate)
        looks_cut = not cut and is_cut(visible(candidate.text), problem.answer_format)
        sought = looked_for(problem.answer_format, strict=self.config.strict, truncated=cut or looks_cut)
        reason = f"no answer found (looked for {sought})"
        if cut:
            reason += "; the text was truncated at its token limit"
        elif looks_cut:
            reason += "; the text looks truncated, it stops in the middle"
        return Verdict(candidate_id=candidate.id, status="unparsed", reason=reason)

    async def _grade(
        self, problem: Problem, candidates: Sequence[Candidate], found: Sequence[Found | None], reference: str
    ) -> list[Verdict]:
        gold = reference_answer(clean(reference))
        opinions = await self._opinions_on(problem, gold, dict.fromkeys(one.text for one in found if one))
        return [
            self._unparsed(problem, candidate) if one is None else _graded(candidate, one, opinions[one.text])
            for candidate, one in zip(candidates, found, strict=True)
        ]

    async def _opinions_on(self, problem: Problem, gold: str, answers: Iterable[str]) -> dict[str, Opinion]:
        """What needs no worker is settled first; the rest goes to the workers side by side."""
        opinions = dict[str, Opinion]()
        for answer in answers:
            await self._breath.take()
            if opinion := self._at_once(problem, gold, answer):
                opinions[answer] = opinion
        rest = [answer for answer in answers if answer not in opinions]
        if rest:
            found = await gather(self._compare(problem, gold, answer) for answer in rest)
            opinions.update(zip(rest, found, strict=True))
        return opinions

    def _at_once(self, problem: Problem, gold: str, answer: str, *, voting: bool = False) -> Opinion | None:
        """What is remembered, or settled by a look in this process."""
        key = _key(problem, gold, answer, voting)
        opinion = self._opinions.get(key)
        if opinion is None:
            try:
                opinion = _checker(problem)(gold, answer)
            except Exception as error:  # whatever one answer does to a checker, the others must not suffer
                opinion = "undecided", f"comparing failed: {explain(error)}"[:_LONGEST_REASON]
            if opinion is not None:
                self._opinions.put(key, opinion)
        return opinion

    async def _compare(self, problem: Problem, gold: str, answer: str, *, voting: bool = False) -> Opinion:
        as_text, length = problem.answer_format in _AS_TEXT, self.config.max_length
        return await self._opinions.once(
            _key(problem, gold, answer, voting),
            lambda: check(self._pool, gold, answer, max_length=length, as_text=as_text, symmetric=voting),
        )

    async def _vote(self, problem: Problem, candidates: Sequence[Candidate], found: Sequence[Found | None]) -> list[Verdict]:
        classes = Classes(_Voting(self, problem))
        keys = [
            None if one is None else one.text if _calls(candidate) else await classes.add(one.text)
            for candidate, one in zip(candidates, found, strict=True)
        ]
        counts = Counter(keys)
        return [
            self._unparsed(problem, candidate)
            if one is None or key is None
            else Verdict(
                candidate_id=candidate.id,
                status="undecided",
                score=counts[key] / len(candidates),
                key=key,
                answer=one.text,
                reason=f"{counts[key]} of {len(candidates)} candidates agree ({one.how})",
            )
            for candidate, one, key in zip(candidates, found, keys, strict=True)
        ]


class _Voting:
    """The checkers of one vote. A pair too slow for the first turns of a worker counts as different."""

    def __init__(self, verifier: MathVerifier, problem: Problem) -> None:
        self._verifier, self._problem = verifier, problem

    def form(self, answer: str) -> str:
        return _form(answer)

    def hopeless(self, answer: str) -> bool:
        return too_hard(answer, self._verifier.config.max_length) is not None

    async def at_once(self, one: str, other: str) -> Opinion | None:
        await self._verifier._breath.take()
        return self._verifier._at_once(self._problem, *sorted((one, other)), voting=True)

    async def fit(self, answer: str) -> bool:
        _, reason = await self._verifier._compare(self._problem, *sorted((answer, _PROBE)), voting=True)
        return not reason.startswith(SLOW)

    async def in_worker(self, one: str, other: str) -> Opinion:
        return await self._verifier._compare(self._problem, *sorted((one, other)), voting=True)


def clean(text: str) -> str:
    """The text with lone surrogates replaced: no record that holds one could ever be written."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _key(problem: Problem, gold: str, answer: str, voting: bool) -> Key:
    kind = "choice" if problem.answer_format == "choice" else "text" if problem.answer_format in _AS_TEXT else "math"
    return gold, answer, f"{kind} vote" if voting else kind


def _checker(problem: Problem) -> Callable[[str, str], Opinion | None]:
    if problem.answer_format == "choice":
        return letters
    return wording if problem.answer_format in _AS_TEXT else quick


def _form(text: str) -> str:
    """The canonical form, by which equal answers vote together."""
    try:
        return clean(canonical(text))
    except Exception:  # as for a checker
        return text


def _calls(candidate: Candidate) -> bool:
    """Whether it calls tools: the answer is then their canonical form, which is no mathematics."""
    return candidate.completion is not None and bool(candidate.completion.tool_calls)


def _truncated(candidate: Candidate) -> bool:
    return candidate.completion is not None and candidate.completion.finish == "length"


def _graded(candidate: Candidate, found: Found, opinion: Opinion) -> Verdict:
    status, score = _STATUS[opinion[0]]
    return Verdict(
        candidate_id=candidate.id,
        status=status,
        score=score,
        key=_form(found.text),
        answer=found.text,
        reason=f"{opinion[1]} (answer from {found.how})",
    )
