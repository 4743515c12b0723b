"""The plugin `adaptive`: a majority vote that stops asking as soon as enough is known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from k2core.events import Tuned
from k2core.plugin import Plugin, VerifierName, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Plan, Problem

from .config import SamplingConfig
from .drawing import Drawing
from .learnt import LearntRule, Prior
from .memory import Learnt
from .poll import Ballot, Poll, computed
from .sources import Sources, SourcesRule
from .stopping import MOST_VOTES, ExactRule, Rule, Standing, votes_needed
from .stragglers import Durations

NEGLIGIBLE = 1e-4
"""Kinds of problems that are rarer are left out of the prior that a run goes by."""

AUDITED = 0.999
"""Confidence that the rule `sources` asks for in an audit."""


class AdaptiveConfig(SamplingConfig):
    """Options of `adaptive`."""

    n: int = Field(default=8, ge=1, le=MOST_VOTES)
    """Most candidates, and the size of the full vote that the decision stands for."""
    verifier: VerifierName = "math"
    """Name under `[verifiers]` of the one whose keys say which answers are equivalent."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Probability with which all `n` votes would decide alike."""
    rule: Literal["exact", "learnt", "sources"] = "exact"
    """`exact` keeps the confidence on every problem, whatever the votes; `learnt` on average over problems like those before;
    `sources` also learns how reliable each of several models is, and weighs their votes."""
    order: Literal["arrival", "launch"] = "arrival"
    """Votes are counted as they arrive, or in the order of launch where latency depends on the answer, which is slower."""
    first: int = Field(default=0, ge=0)
    """Calls to start with; 0: as many as could decide, and the spare ones."""
    spare: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Calls under way beyond those that could decide; `auto` learns from the share of stragglers whether they are worth it."""
    hedge: float = Field(default=0.0, ge=0)
    """Seconds without an answer after which one more call is started; 0 never. A replay may then cancel other calls."""
    prior: tuple[tuple[float, float, float], ...] = ()
    """`learnt`: what problems are like at the start, as (discount, concentration, share) of Pitman-Yor processes."""
    sources: tuple[tuple[str, float, float], ...] = ()
    """`sources`: the models known at the start, as (name, probability that its vote is right, share of the votes)."""
    answers: float = Field(default=10.0, gt=1)
    """`sources`: how many wrong answers there are at the start, effectively: one in so many pairs of wrong votes agrees."""
    warm_up: int = Field(default=20, ge=0)
    """`learnt`, `sources`: so many problems are decided by the exact rule first."""
    audit: float = Field(default=0.05, ge=0, le=1)
    """`learnt`, `sources`: this share of the problems after that, too, so that the rule goes on learning."""
    memory: str = ""
    """`learnt`, `sources`: a JSON file to start from, if it is there, and to save what was learnt in; empty for none."""


class Adaptive(Plugin):
    """Launches votes in stages, stops when the rest would hardly change the decision, and cancels what is under way."""

    config: AdaptiveConfig

    def __init__(self, config: AdaptiveConfig | None = None) -> None:
        super().__init__(config)
        self._learnt = Learnt(Prior(self.config.prior), Sources(self.config.sources, self.config.answers))
        self._durations = Durations()
        self._saves = False

    @hookimpl
    async def k2_start(self) -> None:
        await asyncio.to_thread(ExactRule, self.config.n, self.config.confidence)  # computes the boundary, once a process
        if self.config.memory and self.config.rule != "exact":
            await asyncio.to_thread(self._learnt.load, self.config.memory)
            self._saves = True

    @hookimpl
    async def k2_stop(self) -> None:
        if self._saves:
            await asyncio.to_thread(self._learnt.save, self.config.memory)

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        rule, name, tuned = self._rule(run)
        spare = self.config.spare
        if spare == "auto":
            needed = await computed(lambda: votes_needed(rule, Standing(0, (), self.config.n)), name, self.config.n)
            spare = tuned["spare"] = self._durations.spare(needed, min(needed, self.config.n - needed))
        if tuned:
            run.emit(Tuned(plugin=self.path or "sampler", options=tuned))
        config = self.config
        ballot = Ballot(config.n, config.verifier, rule, name, config.first, spare, config.order, config.hedge)
        poll = Poll(run, Drawing(run, problem, plan, config), ballot, self._durations)
        candidates = await poll.hold()
        if config.rule != "exact":
            self._learnt.learn(poll.said().values())
        return candidates

    def _rule(self, run: Run) -> tuple[Rule, str, dict[str, Any]]:
        """The rule for this run, its name, and what it has learnt, as options that make a replay go the same way."""
        exact = ExactRule(self.config.n, self.config.confidence)
        if self.config.rule == "exact":
            return exact, "exact", {}
        careful = self._learnt.prior.problems < self.config.warm_up
        audited = random.Random(run.seed_for("audit")).random() < self.config.audit
        settled = {"warm_up": 0, "audit": 0.0, "memory": ""}
        known = self._learnt.sources.known()
        if self.config.rule == "sources" and not careful and known.sources:
            confidence = AUDITED if audited else self.config.confidence
            told = {"sources": [list(source) for source in known.sources], "answers": known.answers}
            tuned = {**settled, **told, "confidence": confidence}
            return SourcesRule(confidence, known), "sources", tuned
        if careful or audited:
            return exact, "exact", {"rule": "exact"}
        prior = self._learnt.prior.weights(NEGLIGIBLE)
        tuned = {**settled, "rule": "learnt", "prior": [list(weight) for weight in prior]}
        return LearntRule(self.config.confidence, prior), "learnt", tuned
