"""Drawing candidates from the solver: prompt, seed, labels, announcements and the books on failures. For every sampler here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from k2core.errors import K2Error, LimitExceeded, explain
from k2core.events import CandidateFailed, CandidateMade
from k2core.ports import Run
from k2core.types import Candidate, Completion, DecodeRequest, Message, Plan, Problem

from .config import SamplingConfig
from .prompt import solver_messages


@dataclass
class Drawing:
    """The candidates of one problem, numbered from 0; a candidate's id is its number.

    Everything here runs in the loop's thread. Any number of calls may be under way at the same time.
    """

    run: Run
    problem: Problem
    plan: Plan | None
    config: SamplingConfig
    made: dict[int, Candidate] = field(default_factory=dict)
    """By number, as they were finished."""
    failed: dict[int, Exception] = field(default_factory=dict)

    async def draw(
        self, start: int, size: int = 1, *, messages: Sequence[Message] | None = None, seed: int | None = None, **changes: Any
    ) -> list[Candidate]:
        """Candidates `start` to `start + size - 1` from one decode call; announced, and kept in `made`.

        A call that fails is announced, warned of and kept in `failed`, and the list is empty; a cancellation passes. `messages`
        and `seed` replace the solver's prompt and the seed drawn for candidate `start`; `changes` are further fields of the
        `DecodeRequest`.
        """
        numbers = range(start, start + size)
        try:
            done = await self.decode(numbers, messages=messages, seed=seed, **changes)
        except Exception as error:
            self.fail(numbers, error)
            return []
        return [self.add(number, completion) for number, completion in zip(numbers, done, strict=True)]

    async def decode(
        self, numbers: range, *, messages: Sequence[Message] | None = None, seed: int | None = None, **changes: Any
    ) -> Sequence[Completion]:
        """The completions for these candidates, from one call whose deltas are labelled with them. Raises what the call raises."""
        config = self.config
        fields: dict[str, Any] = {
            "messages": tuple(messages) if messages is not None else await self.messages(),
            "role": "solve",
            "n": len(numbers),
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "stop": config.stop,
            "seed": self.run.seed_for("candidate", numbers[0]) if seed is None else seed,
            "decoder": config.decoder,
            "candidates": tuple(map(str, numbers)),
        }
        return await self.run.decode(DecodeRequest(**{**fields, **changes}))

    async def messages(self) -> tuple[Message, ...]:
        """The solver's prompt; under `plan = "sample"` each with a plan of its own."""
        # The kernel remembers the plan unless every sample is to have its own.
        plan = self.plan if self.plan is not None else await self.run.plan(self.problem)
        config = self.config
        return solver_messages(
            self.problem,
            plan,
            system=config.system,
            instructions=config.instructions,
            examples=config.examples,
            plan_in=config.plan_in,
        )

    def add(self, number: int, completion: Completion) -> Candidate:
        """Make the candidate of that number and announce it."""
        self.made[number] = Candidate(id=str(number), text=completion.text, completion=completion)
        self.run.emit(CandidateMade(candidate=self.made[number]))
        return self.made[number]

    def fail(self, numbers: range, error: Exception) -> None:
        """Book candidates that will not come."""
        for number in numbers:
            self.failed[number] = error
            self.run.emit(CandidateFailed(candidate_id=str(number), error=explain(error)))
        which = f"candidate {numbers[0]}" if len(numbers) == 1 else f"candidates {numbers[0]} to {numbers[-1]}"
        self.run.warn("sampler", f"{which} failed: {explain(error)}")

    async def side_by_side(self, sizes: Sequence[int], enough: int = 1, **changes: Any) -> None:
        """One call for each size, at once. When the soft deadline passes, those that are under way are cancelled.

        Not before `enough` candidates are ready, and a lone call is never cancelled: it brings the first candidate. `changes` as
        in `draw`.
        """
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        if len(sizes) == 1:
            await self.draw(0, sizes[0], **changes)
            return
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self.draw(start, size, **changes)) for start, size in zip(starts, sizes, strict=True)]
            watcher = group.create_task(self.cancel_at_soft_deadline(workers, enough))
            await asyncio.wait(workers)
            watcher.cancel()

    async def cancel_at_soft_deadline(self, workers: Sequence[asyncio.Task[Any]], enough: int = 1) -> None:
        """When the soft deadline passes: wait until `enough` candidates are ready, then cancel the workers that still run."""
        await self.run.wait_hurry()
        pending = set(workers)
        while pending and len(self.made) < enough:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            worker.cancel()

    def outcome(self, wanted: int) -> list[Candidate]:
        """All candidates, by number; a warning when some of the `wanted` were cancelled. Raises when there is none."""
        self.need_one(wanted)
        if missing := wanted - len(self.made) - len(self.failed):
            why = "the soft deadline passed" if self.run.hurry else "their calls were cancelled"
            self.run.warn("sampler", f"{why}: {missing} of {wanted} candidates were not finished")
        return [self.made[number] for number in sorted(self.made)]

    def need_one(self, wanted: int) -> None:
        """Raise one readable error for all when no candidate was made."""
        if not self.made:
            raise no_candidate([self.failed[number] for number in sorted(self.failed)], wanted)


def no_candidate(errors: Sequence[Exception], wanted: int) -> Exception:
    """One readable error for all; a lone failure, or a limit that stopped them all, speaks for itself."""
    if not errors:
        return K2Error("no candidate was made: all calls were cancelled")
    if wanted == 1 or all(isinstance(error, LimitExceeded) for error in errors):
        return errors[0]
    group = ExceptionGroup("candidates", errors)
    summary = K2Error(f"all {wanted} candidates failed: {explain(group)}")
    summary.__cause__ = group
    return summary
