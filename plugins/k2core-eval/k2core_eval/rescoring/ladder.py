"""Accuracy and tokens against the number of candidates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from k2core.registry import Registry

from ..statistics.records import Estimate
from ..statistics.summary import summarise
from ..store.folder import Folder
from .rescore import Rescoring, Wish
from .telling import as_json, percent, write

TABLE = "by_n.json"


@dataclass(frozen=True)
class Rung:
    """One N on one task."""

    n: int
    task: str
    repeats: int
    pooled: bool
    accuracy: Estimate
    tokens: float
    """Mean of a sample, prompts and plans included."""


async def climb(wish: Wish, numbers: Sequence[int], registry: Callable[[], Registry] = Registry) -> list[Rung]:
    """Rescore with each N, into the folders `n-<N>` of the wish's. All are checked before the first is run."""
    checked = [Rescoring(at(wish, n), registry) for n in numbers]
    rungs: list[Rung] = []
    for n, rescoring in zip(numbers, checked, strict=True):
        rescored = await rescoring.run()
        out = Folder(rescoring.wish.out)
        write(out, as_json(rescoring, rescored))
        rungs += _rungs(n, out, rescoring.deal.repeats, pooled=rescored.deal.pooled)
    told = [{**rung.__dict__, "accuracy": rung.accuracy.model_dump()} for rung in rungs]
    await asyncio.to_thread((wish.out / TABLE).write_text, json.dumps(told, indent=1) + "\n")
    return rungs


def at(wish: Wish, n: int) -> Wish:
    label = f"{wish.label}, N = {n}" if wish.label else ""
    return replace(wish, out=wish.out / f"n-{n}", overrides=(*wish.overrides, f"sampler.n={n}"), label=label)


def _rungs(n: int, out: Folder, repeats: int, *, pooled: bool) -> list[Rung]:
    tokens: dict[str, list[int]] = {}
    for sample in out.samples():
        tokens.setdefault(sample.task, []).append(sample.tokens)
    means = {task: sum(found) / len(found) for task, found in tokens.items()}
    summary = summarise(out.manifest(), out.samples())
    return [Rung(n, task.name, repeats, pooled, task.accuracy, means.get(task.name, 0.0)) for task in summary.tasks]


def text(rungs: Sequence[Rung]) -> str:
    """A table a task."""
    lines: list[str] = []
    for task in dict.fromkeys(rung.task for rung in rungs):
        lines += ["", task, "    N  repeats  tokens a sample  accuracy (95 %)"]
        for rung in (rung for rung in rungs if rung.task == task):
            pooled = "  pooled" if rung.pooled else ""
            lines.append(f"{rung.n:>5}  {rung.repeats:>7}  {rung.tokens:>15,.0f}  {percent(rung.accuracy)}{pooled}")
    return "\n".join(lines[1:])
