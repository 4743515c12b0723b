"""Science answers: cheap checks first, then a model says whether the answer is equivalent to the reference."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from k2core_verifier_math.extract import extract, letter, looked_for, reference_answer
from pydantic import Field

from k2core import (
    Candidate,
    Completion,
    DecodeRequest,
    DecoderName,
    LimitExceeded,
    Plugin,
    PluginConfig,
    Problem,
    Run,
    Verdict,
    hookimpl,
)
from k2core.concurrency import gather

from .equality import short
from .equivalence import clipped, decision, messages, probability
from .finding import Found, truncated
from .grading import Opinion, right, unparsed, verdict, votes, wrong
from .numbers import Quantity, quantity
from .reference import load
from .wording import plain


class StemConfig(PluginConfig):
    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the model that compares."""
    samples: int = Field(default=1, ge=1, le=64)
    """Replies to ask for; the majority decides, and a tie is undecided."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature; with more than one sample choose one above 0."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens of one reply."""
    logprobs: bool = False
    """Decide and score by the probability of yes against no at the decision, where the back end reports it."""
    threshold: float = Field(default=0.5, ge=0.5, lt=1)
    """With `logprobs`: correct from this probability on, incorrect up to its complement, undecided between."""
    max_chars: int = Field(default=12_000, ge=100)
    """Characters of question, reference and answer that the model sees of each."""
    concurrency: int = Field(default=8, ge=1)
    """Most calls under way at a time."""
    strict: bool = False
    """Accept an answer only where the problem's answer format asks for it, without fall-backs."""


class Stem(Plugin):
    """A model decides whether an answer is equivalent to the reference; votes without a reference."""

    config: StemConfig
    listwise: ClassVar[bool] = True

    @hookimpl
    async def k2_verify(
        self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None
    ) -> Sequence[Verdict]:
        found = [self._find(problem, candidate) for candidate in candidates]
        if reference is None:
            return votes(candidates, found, lambda one: key(one.text), lambda candidate: self._missing(problem, candidate))
        gold = _gold(reference)
        answers = list(dict.fromkeys(one.text for one in found if one))
        free = asyncio.Semaphore(self.config.concurrency)
        opinions = dict(zip(answers, await gather(self._opinion(run, free, problem, gold, one) for one in answers), strict=True))
        return [
            unparsed(candidate, self._missing(problem, candidate))
            if one is None
            else verdict(candidate, one, opinions[one.text], key(one.text))
            for candidate, one in zip(candidates, found, strict=True)
        ]

    def _find(self, problem: Problem, candidate: Candidate) -> Found | None:
        if candidate.answer is not None and candidate.answer.strip():
            return Found(candidate.answer.strip(), "given")
        found = extract(candidate.text, problem.answer_format, strict=self.config.strict, truncated=truncated(candidate))
        return Found(found.text, found.how) if found else None

    def _missing(self, problem: Problem, candidate: Candidate) -> str:
        cut = truncated(candidate)
        sought = looked_for(problem.answer_format, strict=self.config.strict, truncated=cut)
        return f"no answer found (looked for {sought})" + ("; the text was truncated at its token limit" if cut else "")

    async def _opinion(self, run: Run, free: asyncio.Semaphore, problem: Problem, gold: str, answer: str) -> Opinion:
        """Remembered within the run: a sampler may ask again about a larger set."""
        memory: dict[tuple[str, str], Opinion] = run.state.setdefault("stem", {})
        if (cheap := without_model(gold, answer, choice=problem.answer_format == "choice")) is not None:
            return cheap
        if (gold, answer) not in memory:
            async with free:
                opinion = await self._ask(run, problem, gold, answer)
            if opinion.status == "error":
                return opinion
            memory[gold, answer] = opinion
        return memory[gold, answer]

    async def _ask(self, run: Run, problem: Problem, gold: str, answer: str) -> Opinion:
        if run.hurry:
            return Opinion("error", "the model was not asked: the soft deadline has passed")
        try:
            replies = await run.decode(self._request(run, problem, gold, answer))
        except LimitExceeded:
            raise
        except Exception as error:
            reason = f"the call to the model failed: {' '.join(str(error).split()) or type(error).__name__}"
            run.warn(self.path or "stem", reason)
            return Opinion("error", reason)
        return self._decided(replies)

    def _request(self, run: Run, problem: Problem, gold: str, answer: str) -> DecodeRequest:
        config = self.config
        mark = f"{run.seed_for(self.path, 'mark'):08x}"
        shown = [clipped(text, config.max_chars) for text in (problem.text, gold, answer)]
        return DecodeRequest(
            messages=messages(shown[0], shown[1], shown[2], mark),
            role="verify",
            n=config.samples,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=run.seed_for(self.path, gold, answer),
            logprobs=5 if config.logprobs else 0,
            decoder=config.decoder,
        )

    def _decided(self, replies: Sequence[Completion]) -> Opinion:
        shares = [self._share(reply) for reply in replies]
        said = [share for share in shares if share is not None]
        if not said:
            shown = " ".join(replies[0].text.split())[:80] if replies else ""
            return Opinion("undecided", f"no reply decides yes or no: {shown!r}")
        bar = self.config.threshold
        yes, no = sum(share >= bar and share > 0.5 for share in said), sum(share <= 1 - bar and share < 0.5 for share in said)
        mean = sum(said) / len(said)
        reason = f"{yes} yes, {no} no, {len(replies) - yes - no} undecided by the model"
        if yes == no:
            return Opinion("undecided", reason)
        if not self.config.logprobs:
            return right(reason) if yes > no else wrong(reason)
        return Opinion("correct", reason, max(mean, 0.5)) if yes > no else Opinion("incorrect", reason, min(mean, 0.5))

    def _share(self, reply: Completion) -> float | None:
        """1 for yes, 0 for no, between by probability; None when the reply says neither."""
        named = decision(reply.text)
        if named is None:
            return None
        likely = probability(reply.logprobs) if self.config.logprobs else None
        return float(named) if likely is None else likely


def without_model(gold: str, answer: str, *, choice: bool = False) -> Opinion | None:
    """What needs no model: the same text, the same bare number, another choice letter or whole number; None for the rest.

    Case counts beside digits: 5 mW is not 5 MW.
    """
    digits = any(map(str.isdigit, gold + answer))
    if plain(gold, fold=not digits) == plain(answer, fold=not digits):
        return right("the same text")
    letters = letter(gold), letter(answer)
    if choice and letters[0] and letters[1]:
        return right("the same choice") if letters[0] == letters[1] else wrong("another choice")
    one, other = quantity(gold), quantity(answer)
    if one is None or other is None or not (_bare(one) and _bare(other)):
        return None
    if one.value == other.value:
        return right("the same number")
    return wrong("another whole number") if one.whole and other.whole else None


def _bare(number: Quantity) -> bool:
    return not (number.unit or number.power or number.percent or number.currency)


def _gold(reference: str) -> str:
    value = load(reference)
    return reference_answer(value) if isinstance(value, str) else reference


def key(answer: str) -> str:
    """What answers vote by: the bare number, or the words, whose case counts beside digits."""
    number = quantity(answer)
    if number is not None and _bare(number):
        return short(str(number.value))
    return short(plain(answer, fold=not any(map(str.isdigit, answer))))
