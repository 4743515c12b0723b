"""How well the pipeline answers tasks, as it would serve it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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


def key_of(verdicts: Sequence[Verdict]) -> str | None:
    """The answer that the first verifier to find one did, in the form that answers vote in."""
    return next((verdict.key for verdict in verdicts if verdict.key is not None), None)


def common(keys: Iterable[str | None]) -> float | None:
    """The largest share of answers that are the same, of those that are any; None without one.

    Answers to different problems differ. A policy that is rewarded for one lucky answer can learn to give it whatever is asked,
    and where such problems are picked because they teach, its reward rises: then this share rises with it.
    """
    counts = Counter(key for key in keys if key is not None)
    return max(counts.values()) / counts.total() if counts else None


async def accuracy(
    session: Session, tasks: Sequence[Task], parallel: int, seed: int, patience: float, score: Score = right
) -> dict[str, float]:
    """Of the chosen answers to the tasks, judged with their references. The same seed draws the same each time.

    `accuracy`: their mean score; `tokens`: generated for a task, on average; `response_length`: tokens of a chosen answer;
    `common_answer`: see `common`; `failed`: requests that ended without one, which score 0; `unjudged`: answers without a score,
    or without verdicts after `patience` seconds, which are left out. What nothing can be said of is not there.
    """
    gate = asyncio.Semaphore(parallel)

    async def one(place: int, task: Task) -> tuple[float | None, int, int, str | None]:
        async with gate:
            try:
                result = await session.solve(task.problem, seed=seed_of(seed, place))
            except (PluginError, LimitExceeded):
                return 0.0, 0, -1, None
            async with session.open(task.problem, seed=seed_of(seed, place)) as run:
                verdicts = await _verdicts(run, result.candidate, task.reference, patience)
        length = result.candidate.completion.tokens if result.candidate.completion else 0
        worth = None if verdicts is None else score(verdicts)
        tokens = sum(usage.completion_tokens for usage in result.usage.values())
        return worth, tokens, length, key_of(verdicts or ())

    found = await gather(one(place, task) for place, task in enumerate(tasks))
    scores, served = [worth for worth, *_ in found if worth is not None], [item for item in found if item[2] >= 0]
    made = {"failed": float(len(found) - len(served)), "unjudged": float(len(found) - len(scores))}
    if scores:
        made["accuracy"] = sum(scores) / len(scores)
    if served:
        made["tokens"] = sum(tokens for _, tokens, *_ in served) / len(served)
        made["response_length"] = sum(length for _, _, length, _ in served) / len(served)
    if (share := common(key for *_, key in found)) is not None:
        made["common_answer"] = share
    return made


async def _verdicts(run: Run, candidate: Candidate, reference: str | None, patience: float) -> Sequence[Verdict] | None:
    try:
        async with asyncio.timeout(patience):
            return await run.verify([candidate], reference)
    except TimeoutError:
        return None
