"""How well the pipeline answers tasks, as it would serve it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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


def common_answer(keys: Iterable[str | None]) -> float | None:
    """The largest share of answers that are the same, of those that are any; None without one.

    Where problems have many different answers it is small, unless a policy has learnt to give one whatever is asked.
    """
    counts = Counter(key for key in keys if key is not None)
    return max(counts.values()) / counts.total() if counts else None


@dataclass(frozen=True)
class _Answered:
    worth: float | None = 0.0
    tokens: int = 0
    length: int | None = None
    """Of the chosen answer; None where there is none."""
    key: str | None = None


async def accuracy(
    session: Session, tasks: Sequence[Task], parallel: int, seed: int, patience: float, score: Score = right
) -> dict[str, float]:
    """Of the chosen answers to the tasks, judged with their references. The same seed draws the same each time.

    `accuracy`: their mean score; `tokens`: generated for a task, on average; `response_length`: tokens of a chosen answer;
    `common_answer`: as the function; `failed`: requests that ended without one, which score 0; `unjudged`: answers without a score,
    or without verdicts after `patience` seconds, which are left out. What nothing can be said of is not there.
    """
    gate = asyncio.Semaphore(parallel)

    async def one(place: int, task: Task) -> _Answered:
        async with gate:
            try:
                result = await session.solve(task.problem, seed=seed_of(seed, place))
            except (PluginError, LimitExceeded):
                return _Answered()
            async with session.open(task.problem, seed=seed_of(seed, place)) as run:
                verdicts = await _verdicts(run, result.candidate, task.reference, patience)
        return _Answered(
            None if verdicts is None else score(verdicts),
            sum(usage.completion_tokens for usage in result.usage.values()),
            result.candidate.completion.tokens if result.candidate.completion else 0,
            key_of(verdicts or ()),
        )

    found = await gather(one(place, task) for place, task in enumerate(tasks))
    scores = [answered.worth for answered in found if answered.worth is not None]
    lengths = [answered.length for answered in found if answered.length is not None]
    made = {"failed": float(len(found) - len(lengths)), "unjudged": float(len(found) - len(scores))}
    if scores:
        made["accuracy"] = sum(scores) / len(scores)
    if lengths:
        made["tokens"] = sum(answered.tokens for answered in found) / len(lengths)
        made["response_length"] = sum(lengths) / len(lengths)
    if (share := common_answer(answered.key for answered in found)) is not None:
        made["common_answer"] = share
    return made


async def _verdicts(run: Run, candidate: Candidate, reference: str | None, patience: float) -> Sequence[Verdict] | None:
    try:
        async with asyncio.timeout(patience):
            return await run.verify([candidate], reference)
    except TimeoutError:
        return None
