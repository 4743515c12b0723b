"""How well the pipeline does on tasks that are not trained on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from k2core.concurrency import gather
from k2core.errors import LimitExceeded, PluginError
from k2core.ports import Run, Session
from k2core.types import Candidate, Task, Verdict

from .rollouts import Prompting, seed_of


async def evaluate(session: Session, tasks: Sequence[Task], parallel: int, seed: int, patience: float) -> dict[str, float]:
    """The mean score of the pipeline's answers by the verifiers with references, tokens a task, and the chosen candidates' length.

    The seeds are those of every other evaluation in this training. A request that fails scores 0 and is counted; one without a
    verdict after `patience` seconds is counted and left out.
    """
    gate, prompting = asyncio.Semaphore(parallel), Prompting.of(session.effective)

    async def one(place: int, task: Task) -> tuple[float | None, int, int]:
        async with gate:
            try:
                result = await session.solve(task.problem, seed=seed_of(seed, place))
            except (PluginError, LimitExceeded):
                return 0.0, 0, -1
            async with session.open(task.problem, seed=seed_of(seed, place)) as run:
                verdicts = await _verdicts(run, result.candidate, task.reference, patience)
        score = prompting.score([verdict for verdict in verdicts if verdict.status != "error"])
        length = result.candidate.completion.tokens if result.candidate.completion else 0
        return score, sum(usage.completion_tokens for usage in result.usage.values()), length

    found = await gather(one(place, task) for place, task in enumerate(tasks))
    judged, served = [score for score, _, _ in found if score is not None], [item for item in found if item[2] >= 0]
    made = {"eval_failed": float(len(found) - len(served)), "eval_unjudged": float(len(found) - len(judged))}
    if judged:
        made["eval_accuracy"] = sum(judged) / len(judged)
    if served:
        made["eval_tokens"] = sum(tokens for _, tokens, _ in served) / len(served)
        made["eval_response_length"] = sum(length for _, _, length in served) / len(served)
    return made


async def _verdicts(run: Run, candidate: Candidate, reference: str | None, patience: float) -> Sequence[Verdict]:
    try:
        async with asyncio.timeout(patience):
            return await run.verify([candidate], reference)
    except TimeoutError:
        return []
