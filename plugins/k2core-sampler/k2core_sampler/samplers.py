"""The plugins `single` and `best-of-n`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from k2core.errors import K2Error, LimitExceeded, explain
from k2core.events import CandidateFailed, CandidateMade
from k2core.plugin import DecoderName, Plugin, PluginConfig, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Completion, DecodeRequest, Message, Plan, Problem

from .prompt import Example, solver_messages


class SamplingConfig(PluginConfig):
    """How one candidate is asked for."""

    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the model that solves."""
    system: str = ""
    """System prompt; a problem that brings its own system message keeps that."""
    instructions: bool | str = True
    """Whether to ask for the problem's answer format after the question; or your own words for it."""
    examples: tuple[Example, ...] = ()
    """Questions and replies shown before the problem, each with `problem` and `reply`."""
    plan_in: Literal["user", "system"] = "user"
    """Where the plan goes: before the question, or at the end of the system message, which small models digest better."""
    max_tokens: int = Field(default=1024, ge=1)
    """Most tokens of a candidate, reasoning included."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature; 0 is greedy, which makes all candidates alike."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus sampling: share of the probability that is kept."""
    stop: tuple[str, ...] = ()
    """Strings that end a candidate."""


class BestOfNConfig(SamplingConfig):
    """Options of `best-of-n`."""

    n: int = Field(default=3, ge=1)
    """How many candidates."""
    batch: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """Candidates a decode call: 1 isolates failures and seeds each by itself; "all" shares one prompt evaluation."""
    min_candidates: int = Field(default=1, ge=1)
    """How many must be ready before the soft deadline cancels the rest."""


class Single(Plugin):
    """One candidate."""

    config: SamplingConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        return await _Sampling(run, problem, plan, self.config).sample([1], enough=1)


class BestOfN(Plugin):
    """N candidates at once; the verifiers choose."""

    config: BestOfNConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        sizes = batch_sizes(self.config.n, self.config.batch)
        return await _Sampling(run, problem, plan, self.config).sample(sizes, enough=self.config.min_candidates)


def batch_sizes(n: int, batch: int | Literal["all"]) -> list[int]:
    """How many candidates each decode call makes: `n` split into batches, the last one maybe smaller."""
    size = n if batch == "all" else min(batch, n)
    return [min(size, n - start) for start in range(0, n, size)]


@dataclass
class _Sampling:
    """The work on one problem."""

    run: Run
    problem: Problem
    plan: Plan | None
    config: SamplingConfig
    made: dict[int, Candidate] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)

    async def sample(self, sizes: Sequence[int], enough: int) -> list[Candidate]:
        """Candidates by index, whatever order they finished in. Raises when there is none."""
        if len(sizes) == 1:  # nothing to cancel at the soft deadline: the only call brings the first candidate
            await self._batch(0, sizes[0])
        else:
            await self._side_by_side(sizes, enough)
        return self._outcome(sum(sizes))

    async def _side_by_side(self, sizes: Sequence[int], enough: int) -> None:
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._batch(start, size)) for start, size in zip(starts, sizes, strict=True)]
            watcher = group.create_task(self._hurry(workers, enough))
            await asyncio.wait(workers)
            watcher.cancel()

    async def _batch(self, start: int, size: int) -> None:
        try:
            done = await self._decode(start, size)
        except Exception as error:
            self._fail(range(start, start + size), error)
        else:
            for index, completion in enumerate(done, start):
                self.made[index] = Candidate(id=str(index), text=completion.text, completion=completion)
                self.run.emit(CandidateMade(candidate=self.made[index]))

    async def _decode(self, start: int, size: int) -> Sequence[Completion]:
        # The kernel remembers the plan unless every sample is to have its own.
        plan = self.plan if self.plan is not None else await self.run.plan(self.problem)
        config = self.config
        return await self.run.decode(
            DecodeRequest(
                messages=self._messages(plan),
                role="solve",
                n=size,
                max_tokens=config.max_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                stop=config.stop,
                seed=self.run.seed_for("candidate", start),
                decoder=config.decoder,
                candidates=tuple(str(index) for index in range(start, start + size)),
            )
        )

    def _messages(self, plan: Plan | None) -> tuple[Message, ...]:
        config = self.config
        return solver_messages(
            self.problem,
            plan,
            system=config.system,
            instructions=config.instructions,
            examples=config.examples,
            plan_in=config.plan_in,
        )

    def _fail(self, indices: range, error: Exception) -> None:
        for index in indices:
            self.failed[index] = error
            self.run.emit(CandidateFailed(candidate_id=str(index), error=explain(error)))
        which = f"candidate {indices[0]}" if len(indices) == 1 else f"candidates {indices[0]} to {indices[-1]}"
        self.run.warn("sampler", f"{which} failed: {explain(error)}")

    async def _hurry(self, workers: Sequence[asyncio.Task[None]], enough: int) -> None:
        """When the soft deadline passes: wait until enough candidates are ready, then cancel the others."""
        await self.run.wait_hurry()
        pending = set(workers)
        while pending and len(self.made) < enough:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            worker.cancel()

    def _outcome(self, wanted: int) -> list[Candidate]:
        if not self.made:
            raise _no_candidate([self.failed[index] for index in sorted(self.failed)], wanted)
        if missing := wanted - len(self.made) - len(self.failed):
            why = "the soft deadline passed" if self.run.hurry else "their calls were cancelled"
            self.run.warn("sampler", f"{why}: {missing} of {wanted} candidates were not finished")
        return [self.made[index] for index in sorted(self.made)]


def _no_candidate(errors: Sequence[Exception], wanted: int) -> Exception:
    """One readable error for all; a lone failure, or a limit that stopped them all, speaks for itself."""
    if not errors:
        return K2Error("no candidate was made: all calls were cancelled")
    if wanted == 1 or all(isinstance(error, LimitExceeded) for error in errors):
        return errors[0]
    group = ExceptionGroup("candidates", errors)
    summary = K2Error(f"all {wanted} candidates failed: {explain(group)}")
    summary.__cause__ = group
    return summary
