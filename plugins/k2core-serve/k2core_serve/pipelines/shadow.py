"""Shadow mode: a candidate pipeline is asked a share of what a model is asked, and the report says where they differ.

The shadow runs after the live answer has been given, in a runtime of its own: its tokens are in no request's usage and no key's
budget. Only requests that the live pipeline answered are shadowed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from k2core.errors import explain
from k2core.log import get_logger
from k2core.registry import Registry
from k2core.types import Problem, Result, Usage

from ..records import RequestRecord
from ..settings import ShadowTable
from .live import SwapRefused
from .version import Recipe, Version, built, faults_of

KEPT = 100
"""Differences that the report shows."""
_LONGEST = 500


@dataclass(frozen=True)
class Difference:
    """Where the two did not agree."""

    request: str
    problem: str
    live_answer: str
    shadow_answer: str
    live_decision: str
    shadow_decision: str
    verdicts: Mapping[str, tuple[str, str]]
    """By verifier: status of the chosen candidate, live and shadow."""


class Shadow:
    """One candidate beside one model."""

    def __init__(self, name: str, table: ShadowTable, version: Version) -> None:
        self.name, self.table, self.version = name, table, version
        self.counts: Counter[str] = Counter()
        self.differences: deque[Difference] = deque(maxlen=KEPT)
        self._dice = random.Random()
        self._tasks: set[asyncio.Task[None]] = set()

    def heard(self, record: RequestRecord, live: Version, seed: int) -> None:
        """A run of the live pipeline has ended: maybe ask the shadow the same."""
        if record.pipeline != self.name or record.result is None or self._dice.random() >= self.table.share:
            return
        if len(self._tasks) >= self.table.running:
            self.counts["skipped"] += 1
            return
        task = asyncio.create_task(self._ask(record.id, record.problem, record.result, seed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, id: str, problem: Problem, live: Result, seed: int) -> None:
        runtime = self.version.runtime()
        assert runtime is not None  # every version has the standard preset
        try:
            mine = await runtime.solve_watched(problem, seed=seed, observers=())
        except Exception as error:
            self.counts["failed"] += 1
            get_logger(model=self.name, shadow=self.version.digest).error("the shadow failed", request=id, error=explain(error))
            return
        self._compare(id, problem, live, mine)

    def _compare(self, id: str, problem: Problem, live: Result, mine: Result) -> None:
        self.counts["compared"] += 1
        verdicts = differing_verdicts(live, mine)
        same = same_answer(live, mine)
        self.counts["same answer" if same else "other answer"] += 1
        self.counts["other verdicts"] += bool(verdicts)
        if not same or verdicts:
            self.differences.append(
                Difference(id, _cut(problem.text), _cut(live.answer), _cut(mine.answer), live.decision, mine.decision, verdicts)
            )

    def report(self) -> dict[str, Any]:
        ledger: Mapping[str, Usage] = self.version.runtimes[""].ledger.usage()
        return {
            "model": self.name,
            "version": self.version.digest,
            "share": self.table.share,
            "running": len(self._tasks),
            "counts": dict(self.counts),
            "usage": {role: usage.model_dump() for role, usage in ledger.items()},
            "differences": [asdict(one) for one in reversed(self.differences)],
        }

    async def idle(self) -> None:
        """Wait for the runs under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.idle()
        await self.version.stop()


def _cut(text: str | None) -> str:
    return (text or "")[:_LONGEST]


def same_answer(one: Result, other: Result) -> bool:
    """By the canonical keys of a verifier that both have where it gave some, else by the text."""
    ours, theirs = _keys(one), _keys(other)
    for verifier in ours.keys() & theirs.keys():
        return ours[verifier] == theirs[verifier]
    return (one.answer or "").strip() == (other.answer or "").strip()


def _keys(result: Result) -> dict[str, str]:
    chosen = result.candidate.id
    return {v.verifier: v.key for v in result.verdicts if v.candidate_id == chosen and v.key is not None}


def differing_verdicts(live: Result, mine: Result) -> dict[str, tuple[str, str]]:
    """Verifiers of both that judged the two chosen candidates differently."""
    ours, theirs = _statuses(live), _statuses(mine)
    return {name: (ours[name], theirs[name]) for name in ours if name in theirs and ours[name] != theirs[name]}


def _statuses(result: Result) -> dict[str, str]:
    return {v.verifier: v.status for v in result.verdicts if v.candidate_id == result.candidate.id}


class Shadows:
    """All shadows of a server."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry or Registry()
        self._shadows: dict[str, Shadow] = {}
        self._number = 0

    def heard(self, record: RequestRecord, version: Version, seed: int) -> None:
        if shadow := self._shadows.get(record.pipeline):
            shadow.heard(record, version, seed)

    async def set(self, name: str, table: ShadowTable, recipe: Recipe) -> Shadow:
        """Begin to shadow, in place of any that does. Raises `SwapRefused`."""
        self._number += 1
        try:
            version: Version = await asyncio.to_thread(built, f"shadow of {name}", self._number, recipe, self._registry)
            await version.start()
        except Exception as error:
            raise SwapRefused(faults_of(error)) from error
        await self.remove(name)
        self._shadows[name] = shadow = Shadow(name, table, version)
        return shadow

    async def remove(self, name: str) -> None:
        if shadow := self._shadows.pop(name, None):
            await shadow.stop()

    def reports(self) -> list[dict[str, Any]]:
        return [shadow.report() for shadow in self._shadows.values()]

    async def stop(self) -> None:
        for name in list(self._shadows):
            await self.remove(name)
