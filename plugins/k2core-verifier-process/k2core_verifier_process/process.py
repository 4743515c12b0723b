"""The verifier `process`: a model gives every step its chance of being correct."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from k2core import Candidate, DecodeRequest, DecoderName, LimitExceeded, Plugin, PluginConfig, Problem, Run, Verdict, hookimpl
from k2core.concurrency import gather
from k2core.errors import explain

from .asking import probability, question, shorten
from .memory import Once, prefixes
from .split import Step, split
from .steps import answer_part


class ProcessConfig(PluginConfig):
    """Options of `process`."""

    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the model that scores steps."""
    combine: Literal["min", "product", "last", "mean"] = "min"
    """How the probabilities of the steps become one score."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Sampling temperature of the replies."""
    max_tokens: Annotated[int, Field(ge=1)] = 4
    """Most tokens of a reply; a model that thinks before it answers needs more."""
    logprobs: Annotated[int, Field(ge=0)] = 10
    """How many alternatives to ask for at each token, to read P(yes); 0 goes by the word alone."""
    max_chars: Annotated[int, Field(ge=100)] = 12_000
    """Characters of the work before a step, and of the step, that the model sees."""
    max_steps: Annotated[int, Field(ge=1)] = 200
    """Steps of a candidate that are scored; what is over counts with the last of them as one."""
    concurrency: Annotated[int, Field(ge=1)] = 8
    """Most calls under way at a time."""


class Process(Plugin):
    """Asks a model about each step, given those before it; a step that was asked about in this run is not asked about again."""

    config: ProcessConfig
    listwise: ClassVar[bool] = False

    @hookimpl
    async def k2_verify(self, run: Run, problem: Problem, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        once: Once[float] = run.state.setdefault("process", Once())
        free = run.state.setdefault("free", asyncio.Semaphore(self.config.concurrency))
        scorer = _Scorer(run, self.config, problem, once, free)
        parts = [_steps(answer_part(candidate.text), self.config.max_steps) for candidate in candidates]
        scores = await gather(scorer.scores(steps) for steps in parts)
        if scorer.unreadable:
            run.warn("process", f"{scorer.unreadable} replies of the step model were neither yes nor no")
        return [self._verdict(*one) for one in zip(candidates, parts, scores, strict=True)]

    def _verdict(self, candidate: Candidate, steps: Sequence[Step], scores: Sequence[float | None]) -> Verdict:
        if not steps:
            return Verdict(candidate_id=candidate.id, status="unparsed", reason="there are no steps in it")
        known = [score for score in scores if score is not None]
        if not known:
            return Verdict(candidate_id=candidate.id, status="error", reason="the step model scored none of its steps")
        low = min(range(len(scores)), key=lambda place: 2.0 if (score := scores[place]) is None else score)
        missing = f"; {len(scores) - len(known)} of {len(scores)} steps were not scored" if len(known) < len(scores) else ""
        return Verdict(
            candidate_id=candidate.id,
            status="undecided",
            score=min(1.0, max(0.0, combined(known, self.config.combine))),
            reason=f"lowest of {len(known)} steps: step {steps[low].number} with {scores[low]:.2f}{missing}",
        )


def combined(scores: Sequence[float], how: Literal["min", "product", "last", "mean"]) -> float:
    """One score of many, which are not empty."""
    if how == "min":
        return min(scores)
    if how == "product":
        return math.prod(scores)
    return scores[-1] if how == "last" else sum(scores) / len(scores)


def _steps(text: str, most: int) -> list[Step]:
    steps = split(text)
    if len(steps) <= most:
        return steps
    first = steps[most - 1]
    return [*steps[: most - 1], Step(first.number, first.start, len(text), text[first.start :])]


class _Scorer:
    """The calls of one verification."""

    def __init__(self, run: Run, config: ProcessConfig, problem: Problem, once: Once[float], free: asyncio.Semaphore) -> None:
        self._run, self._config, self._problem, self._once, self._free = run, config, problem, once, free
        self._mark = f"{run.seed_for('process', 'mark'):08x}"
        self.unreadable = 0

    async def scores(self, steps: Sequence[Step]) -> list[float | None]:
        """Of every step, side by side; None where the model could not be asked or understood."""
        whole = "".join(step.text for step in steps)
        origin = steps[0].start if steps else 0
        return await gather(
            self._once.get(name, partial(self._ask, whole[: step.start - origin], step))
            for name, step in zip(prefixes(steps), steps, strict=True)
        )

    async def _ask(self, before: str, step: Step) -> float | None:
        config = self._config
        request = DecodeRequest(
            messages=question(self._problem, shorten(before, config.max_chars), shorten(step.text, config.max_chars), self._mark),
            role="verify",
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            logprobs=config.logprobs,
            seed=self._run.seed_for("process", before, step.text),
            decoder=config.decoder,
        )
        async with self._free:
            if self._run.hurry:
                return None
            try:
                completion = (await self._run.decode(request))[0]
            except LimitExceeded:
                raise
            except Exception as error:
                self._run.warn("process", f"a call to the step model failed: {explain(error)}")
                return None
        found = probability(completion)
        self.unreadable += found is None
        return found
