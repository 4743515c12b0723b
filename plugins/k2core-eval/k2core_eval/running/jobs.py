"""The samples of an evaluation in the order in which they are made.

Problem by problem, with all repeats of one in a row: they share the prompt, so a server that keeps prompts finds it while it is
still there, and only a few problems are in memory at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from k2core.types import Problem

from ..records import SampleId, TaskRun
from ..scoring.client import Scorer
from ..scoring.wire import Message
from ..store.layout import OPEN, Layout
from .seeds import Seeds

_CHUNK = 64
"""Problems asked for at once; the next ones are asked for while these are worked on."""


@dataclass
class Job:
    """One sample to be made."""

    id: SampleId
    problem: Problem
    seed: int
    tries: int = 0
    error: str = ""
    """Of the last try, when that failed in a way that may pass."""


async def jobs(scorer: Scorer, layout: Layout, states: bytes, base: int, probe: int = 0) -> AsyncIterator[Job]:
    """Every sample whose state is `OPEN`; with a `probe`, no more than so many, spread evenly."""
    wanted = set(spread(layout.total, probe)) if probe else range(layout.total)
    seeds, number = Seeds(base), 0
    async for task, place, problem in _problems(scorer, layout):
        for repeat in range(task.repeats):
            seed = seeds.next(task.name, problem.id, repeat)
            if states[number] == OPEN and number in wanted:
                yield Job(SampleId(task.name, place, repeat), problem, seed)
            number += 1


def spread(total: int, count: int) -> list[int]:
    """Up to `count` numbers below `total`, evenly apart."""
    return sorted({place * total // count for place in range(count)}) if total else []


async def _problems(scorer: Scorer, layout: Layout) -> AsyncIterator[tuple[TaskRun, int, Problem]]:
    chunks = [(task, start) for task in layout.tasks for start in range(0, task.problems, _CHUNK)]
    asked = [_ask(scorer, *chunk) for chunk in chunks[:1]]
    for at, (task, start) in enumerate(chunks):
        _, lines = await asked.pop()
        asked += [_ask(scorer, *chunk) for chunk in chunks[at + 1 : at + 2]]
        for place, line in enumerate(lines.splitlines(), start):
            yield task, place, Problem.model_validate_json(line)


def _ask(scorer: Scorer, task: TaskRun, start: int) -> asyncio.Future[tuple[Message, bytes]]:
    return scorer.tell({"do": "problem_lines", "task": task.name, "start": start, "count": _CHUNK})
