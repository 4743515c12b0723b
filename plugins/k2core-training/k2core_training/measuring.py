"""How well the pipeline answers tasks, as it would serve it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from k2core.concurrency import gather
from k2core.errors import LimitExceeded, PluginError
from k2core.ports import Run, Session
from k2core.types import Candidate, Task, Verdict

from .data.verifying import judged
from .ordering import seed_of

Score: TypeAlias = Callable[[Sequence[Verdict]], float | None]
"""What an answer with these verdicts is worth, 0..1; None where they do not say."""


def right(verdicts: Sequence[Verdict]) -> float | None:
    """1 where verifiers call the answer correct and none calls it incorrect, else 0; None where one that failed might have."""
    reason, _ = judged(verdicts)
    return None if reason == "not verified: a verifier failed" else float(not reason)


async def accuracy(
    session: Session, tasks: Sequence[Task], parallel: int, seed: int, patience: float, score: Score = right
) -> dict[str, float]:
    """Of the chosen answers to the tasks, judged with their references. The same seed draws the same each time.

    `accuracy`: their mean score; `tokens`: generated for a task, on average; `response_length`: tokens of a chosen answer;
    `failed`: requests that ended without one, which score 0; `unjudged`: answers without a score, or without verdicts after
    `patience` seconds, which are left out. What nothing can be said of is not there.
    """
    gate = asyncio.Semaphore(parallel)

    async def one(place: int, task: Task) -> tuple[float | None, int, int]:
        async with gate:
            try:
                result = await session.solve(task.problem, seed=seed_of(seed, place))
            except (PluginError, LimitExceeded):
                return 0.0, 0, -1
            async with session.open(task.problem, seed=seed_of(seed, place)) as run:
                verdicts = await _verdicts(run, result.candidate, task.reference, patience)
        length = result.candidate.completion.tokens if result.candidate.completion else 0
        worth = None if verdicts is None else score(verdicts)
        return worth, sum(usage.completion_tokens for usage in result.usage.values()), length

    found = await gather(one(place, task) for place, task in enumerate(tasks))
    scores, served = [worth for worth, _, _ in found if worth is not None], [item for item in found if item[2] >= 0]
    made = {"failed": float(len(found) - len(served)), "unjudged": float(len(found) - len(scores))}
    if scores:
        made["accuracy"] = sum(scores) / len(scores)
    if served:
        made["tokens"] = sum(tokens for _, tokens, _ in served) / len(served)
        made["response_length"] = sum(length for _, _, length in served) / len(served)
    return made


async def _verdicts(run: Run, candidate: Candidate, reference: str | None, patience: float) -> Sequence[Verdict] | None:
    try:
        async with asyncio.timeout(patience):
            return await run.verify([candidate], reference)
    except TimeoutError:
        return None
