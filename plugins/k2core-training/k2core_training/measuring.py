"""How often the pipeline's answer is right, as it would serve it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from k2core.errors import LimitExceeded, PluginError
from k2core.ports import Session
from k2core.types import Task

from .data.verifying import judged


async def accuracy(session: Session, tasks: Sequence[Task], parallel: int, seed: int) -> dict[str, float]:
    """`accuracy`: share of tasks whose chosen answer the verifiers call correct; `answer_tokens`: generated for a task, on average;
    `failed`: requests that ended without an answer, which count as wrong. The same seed draws the same each time."""
    gate = asyncio.Semaphore(parallel)

    async def one(place: int, task: Task) -> tuple[bool, int, bool]:
        async with gate:
            try:
                result = await session.solve(task.problem, seed=(seed + 7919 * place) % 2**31)
            except (PluginError, LimitExceeded):
                return False, 0, True
            async with session.open(task.problem, seed=seed) as run:
                verdicts = await run.verify([result.candidate], task.reference)
        return judged(verdicts) == ("", ""), sum(usage.completion_tokens for usage in result.usage.values()), False

    found = await asyncio.gather(*(one(place, task) for place, task in enumerate(tasks)))
    right, tokens, failed = (sum(each) for each in zip(*found, strict=True))
    return {"accuracy": right / len(found), "answer_tokens": tokens / len(found), "failed": float(failed)}
