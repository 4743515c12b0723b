"""Making samples side by side: solve, hand over to the scorer, try again what may pass."""

from __future__ import annotations

import asyncio
import heapq
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from k2core.types import Candidate, Result, Usage

from ..digest import digest
from ..records import SampleId, Spent
from ..scoring.client import Scorer
from .attempts import Attempts, plain
from .executor import Executor, Solved
from .gate import Gate, OutOfPatience
from .jobs import Job
from .progress import Progress

_MOST_TRIES = 8
"""A sample that failed so often in ways that may pass, while others succeeded, is given up."""
_TOLD = 5
"""Failures that are told one by one."""
_PAUSE = 1.0
"""Seconds before a sample is tried a third time, doubled each time after that; the second try is at once."""


class Loop:
    """`workers` runs at a time. Ends when all is done, or raises what stopped it; what is under way is cancelled then."""

    def __init__(
        self, executor: Executor, scorer: Scorer, attempts: Attempts, progress: Progress, gate: Gate, workers: int, *, peek: bool
    ) -> None:
        self._executor, self._scorer, self._attempts, self._progress = executor, scorer, attempts, progress
        self._gate, self._workers, self._peek = gate, workers, peek
        self._room = asyncio.Semaphore(4 * workers + 16)
        self._handed = set[asyncio.Future[Any]]()
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._again: list[tuple[float, SampleId, Job]] = []
        self._under_way = 0
        self._faults = 0

    async def run(self, jobs: AsyncIterator[Job]) -> None:
        self._jobs, self._drawing, self._exhausted = jobs, asyncio.Lock(), False
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch())
                await asyncio.wait([group.create_task(self._work()) for _ in range(self._workers)])
                watcher.cancel()
        except BaseExceptionGroup as several:
            error = several.exceptions[0]
            if isinstance(error, OutOfPatience):
                await self._give_up([job for _, _, job in self._again])
            raise error from None
        finally:
            await self._settle()
        if self._failure.done():
            raise self._failure.result()

    async def _watch(self) -> None:
        await asyncio.wait([self._failure])
        raise self._failure.result()

    async def _settle(self) -> None:
        """Wait until the scorer has written what it was handed."""
        while self._handed and not self._failure.done():
            await asyncio.wait((*self._handed, self._failure), return_when=asyncio.FIRST_COMPLETED)

    async def _work(self) -> None:
        while (job := await self._next()) is not None:
            try:
                await self._attempt(job)
            finally:
                self._under_way -= 1

    async def _next(self) -> Job | None:
        """The next sample, or one that is due again; None when there is none left and none can come back."""
        while True:
            if self._again and self._again[0][0] <= time.monotonic():
                self._under_way += 1
                return heapq.heappop(self._again)[2]
            async with self._drawing:
                if not self._exhausted:
                    job = await anext(self._jobs, None)
                    if job is not None:
                        self._under_way += 1
                        return job
                    self._exhausted = True
            if not self._again and not self._under_way:
                return None
            await asyncio.sleep(0.05)

    async def _attempt(self, job: Job) -> None:
        try:
            async with self._gate.passing():
                self._attempts.started(job.id)
                solved = await self._executor.solve(job.problem, job.seed)
                if solved.passing:
                    self._gate.failed(solved.error)
                else:
                    self._gate.succeeded()
        except asyncio.CancelledError:
            self._attempts.note("cancelled", **job.id._asdict())
            raise
        except OutOfPatience:
            heapq.heappush(self._again, (0.0, job.id, job))
            raise
        self._progress.spent(solved.spent)
        if solved.error:
            self._attempts.failed(job.id, solved.error, solved.spent, solved.seconds)
            self._tell(job, solved)
        if not solved.passing:
            await self._hand_over(job, solved)
        else:
            await self._again_later(job, solved)

    def _tell(self, job: Job, solved: Solved) -> None:
        """The first failures; a server that is down is the gate's to tell."""
        if not solved.passing and self._faults < _TOLD:
            self._faults += 1
            self._progress.say(f"{job.id} failed: {solved.error}")

    async def _again_later(self, job: Job, solved: Solved) -> None:
        job.tries += 1
        if job.tries >= _MOST_TRIES and not self._gate.closed:
            await self._hand_over(job, solved)
            return
        job.error = solved.error
        due = time.monotonic() + (0 if job.tries == 1 else min(60.0, _PAUSE * 2 ** (job.tries - 2)))
        heapq.heappush(self._again, (due, job.id, job))

    async def _give_up(self, jobs: Sequence[Job]) -> None:
        """Write what has failed for too long as such."""
        for job in jobs:
            if job.tries:
                await self._hand_over(job, Solved(None, (), b"", 0.0, None, job.error, True))

    async def _hand_over(self, job: Job, solved: Solved) -> None:
        """Give a finished run to the scorer, which grades and writes it; waits only when the scorer is far behind."""
        await self._room.acquire()
        message = message_of(job, solved)
        if self._peek:
            message["peek"] = True
        handed = self._scorer.tell(message, header_of(job.id, solved) + solved.trace)
        self._handed.add(handed)
        handed.add_done_callback(self._written)
        await self._scorer.drain()

    def _written(self, handed: asyncio.Future[Any]) -> None:
        self._handed.discard(handed)
        self._room.release()
        if handed.cancelled():
            return
        if error := handed.exception():
            if not self._failure.done():
                self._failure.set_result(error)
        else:
            self._progress.done(handed.result()[0].get("outcome"))


def header_of(name: SampleId, solved: Solved) -> bytes:
    """The first line of a sample's block in the traces."""
    run_id = solved.result.run_id if solved.result else ""
    head = {"kind": "sample", "task": name.task, "place": name.place, "repeat": name.repeat, "run_id": run_id}
    return json.dumps(head, separators=(",", ":")).encode() + b"\n"


def message_of(job: Job, solved: Solved) -> dict[str, Any]:
    """What the scorer needs to know to grade a run and to write it down."""
    result, name = solved.result, job.id._asdict()
    sample = {**name, "seed": job.seed, "spent": plain(solved.spent), "error": solved.error}
    clocks = {**name, "seconds": solved.seconds, "first_token": solved.first_token}
    clocks["model_seconds"] = sum(one.usage.seconds for one in solved.spent)
    message = {"do": "sample", **name, "times": clocks, "candidates": [], "scores": {}}
    if result is None:
        sample["digest"] = digest(None, by_role(solved.spent), solved.error)
    else:
        sample["digest"] = digest(result, result.usage, "")
    if result and not solved.error:
        sample |= _facts(result)
        message |= {"candidates": [_candidate(one) for one in result.candidates], "scores": dict(result.scores)}
    return {**message, "sample": sample}


def _facts(result: Result) -> dict[str, Any]:
    return {
        "chosen": result.candidate.id,
        "decision": result.decision,
        "plan": result.plan.prompt if result.plan else None,
        "warnings": result.warnings,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    made = candidate.completion
    return {
        "id": candidate.id,
        "text": candidate.text,
        "answer": candidate.answer,
        "reasoning": made.reasoning if made else "",
        "tokens": made.tokens if made else 0,
        "finish": made.finish if made else "stop",
    }


def by_role(spent: Sequence[Spent]) -> dict[str, Usage]:
    """Usage by role, as a run's ledger has it."""
    found: dict[str, Usage] = {}
    for one in spent:
        found[one.role] = found.get(one.role, Usage()) + one.usage
    return found
