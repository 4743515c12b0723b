"""The plugin `majority`: N candidates, and the answer that most of them give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from k2core.plugin import Plugin, VerifierName, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Plan, Problem

from .drawing import Drawing
from .samplers import BestOfNConfig, batch_sizes
from .voting import Vote, certainty, mean_probability, scored, votes_of, weighted

ALTERNATIVES = {"logprob": 1, "certainty": 5}
"""How many likeliest tokens are asked for at each place, by what weighs the votes."""


class MajorityConfig(BestOfNConfig):
    """Options of `majority`."""

    n: int = Field(default=8, ge=1)
    """How many candidates."""
    verifier: VerifierName = "math"
    """Name under `[verifiers]` of the one whose keys say which answers are equivalent."""
    weight_by: Literal["none", "logprob", "certainty", "verifier"] = "none"
    """What a vote counts: one; the mean probability of its tokens; how certain they were; or the score that `weigher` gives."""
    weigher: VerifierName = ""
    """Name under `[verifiers]` of the one whose scores weigh the votes, for `weight_by = "verifier"`."""


class Majority(Plugin):
    """N candidates vote; the kernel chooses the first one with the most popular answer."""

    config: MajorityConfig

    @hookimpl
    async def k2_start(self) -> None:
        if (self.config.weight_by == "verifier") != bool(self.config.weigher):
            raise ValueError('`weight_by = "verifier"` and `weigher` need each other: name the verifier that weighs the votes')

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        config, drawing = self.config, Drawing(run, problem, plan, self.config)
        await drawing.side_by_side(batch_sizes(config.n, config.batch), config.min_candidates, **self._wishes())
        votes = await votes_of(run, drawing.outcome(config.n), config.verifier)
        return scored(await self._weighted(run, votes))

    def _wishes(self) -> dict[str, Any]:
        alternatives = ALTERNATIVES.get(self.config.weight_by)
        return {"logprobs": alternatives} if alternatives else {}

    async def _weighted(self, run: Run, votes: list[Vote]) -> list[Vote]:
        try:
            return weighted(votes, await self._weights(run, [vote.candidate for vote in votes]))
        except ValueError:
            if self.config.weight_by == "verifier":
                missing = f"verifier {self.config.weigher!r} could not judge them all"
            else:
                missing = "the decoder reported no log-probabilities for them"
            run.warn(self.path or "sampler", f"votes count alike: {missing}")
            return votes

    async def _weights(self, run: Run, candidates: Sequence[Candidate]) -> list[float | None]:
        if self.config.weight_by == "none":
            return [1.0] * len(candidates)
        if self.config.weight_by == "verifier":
            verdicts = {v.candidate_id: v for v in await run.verify(candidates, only=self.config.weigher)}
            return [None if verdicts[c.id].status == "error" else verdicts[c.id].score for c in candidates]
        measure = mean_probability if self.config.weight_by == "logprob" else certainty
        return [measure(c.completion) if c.completion else None for c in candidates]
