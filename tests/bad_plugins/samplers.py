"""Samplers, each wrong in one way."""

import asyncio
import random
from collections.abc import Awaitable, Sequence

from k2core import Candidate, DecodeRequest, LimitExceeded, Message, Plugin, Problem, Run, hookimpl

N = 3


async def one(run: Run, problem: Problem, index: int, seed: int | None = None) -> Candidate:
    """What a good sampler does for each candidate."""
    seed = run.seed_for("sample", index) if seed is None else seed
    messages = (Message(role="user", content=problem.text),)
    completion = (await run.decode(DecodeRequest(messages=messages, seed=seed, candidates=(f"c{index}",))))[0]
    return Candidate(id=f"c{index}", text=completion.text, completion=completion)


async def side_by_side(work: Sequence[Awaitable[Candidate]]) -> list[Candidate]:
    """The results in order; when one fails, its error once the others have ended."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class SwallowsCancellation(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        try:
            return await side_by_side([one(run, problem, index) for index in range(N)])
        except asyncio.CancelledError:
            return [Candidate(id="c0", text="I was interrupted.")]


class CannotBeCancelled(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        while True:
            try:
                return await side_by_side([one(run, problem, index) for index in range(N)])
            except asyncio.CancelledError:
                continue


class DuplicateIds(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        made = await side_by_side([one(run, problem, index) for index in range(N)])
        return [candidate.model_copy(update={"id": "c0"}) for candidate in made]


class ByFinishingOrder(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        made: list[Candidate] = []

        async def add(index: int) -> Candidate:
            made.append(await one(run, problem, index))
            return made[-1]

        await side_by_side([add(index) for index in range(N)])
        return made


class DrawsItsOwnSeeds(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        return await side_by_side([one(run, problem, index, random.getrandbits(31)) for index in range(N)])


class NoCandidates(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        await one(run, problem, 0)
        return []


class RetriesForEver(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        while True:
            try:
                return await side_by_side([one(run, problem, index) for index in range(N)])
            except LimitExceeded:
                await asyncio.sleep(0)


class HidesTheLimit(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        try:
            return await side_by_side([one(run, problem, index) for index in range(N)])
        except LimitExceeded as error:
            raise RuntimeError("no candidate could be made") from error


class BeatsTheTimeout(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        seconds = run.remaining()
        try:
            async with asyncio.timeout(None if seconds is None else seconds / 2):
                return await side_by_side([one(run, problem, index) for index in range(N)])
        except TimeoutError:
            raise RuntimeError("the model is too slow") from None


class NeedsAPlan(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: object) -> list[Candidate]:
        if plan is None:
            raise ValueError("there is no plan to follow; configure a planner")
        return [await one(run, problem, 0)]
