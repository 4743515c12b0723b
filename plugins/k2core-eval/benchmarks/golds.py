"""Does each benchmark's grader call the known right answers right, and others not? A table, and the ids.

    python plugins/k2core-eval/benchmarks/golds.py DATA [TASK…] [--limit K]

DATA holds local copies by the names on the cards. Mathematics: the reference in a box. Programs: the data's own solution in a
fenced block. Tasks without either, or without a local copy, are listed as not checked.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from k2core_eval.tasks.catalogue import ENTRIES
from k2core_eval.tasks.naming import card_of, parse, tables

from k2core import Candidate, K2Error, PipelineConfig, Registry, Runtime, Task
from k2core.concurrency import gather

SIDE_BY_SIDE = 8


def gold(task: Task) -> str | None:
    """A candidate that must be called correct; None where the data hold none."""
    kind = task.problem.answer_format
    if kind == "code":
        program = task.meta.get("answer") or task.meta.get("code") or task.meta.get("canonical_solution")
        # a canonical solution may be the body alone, and is then given as a completion of the prompt is
        return f"```python\n{_head(task)}{program}\n```" if program else None
    return None if task.reference is None else f"The answer is \\boxed{{{task.reference}}}."


def worked(task: Task) -> str | None:
    """The data's own worked solution with its answer in a box: a test of where the answer is looked for, too."""
    text = task.meta.get("solution")
    return text if isinstance(text, str) and "\\boxed" in text else None


def _head(task: Task) -> str:
    reference: dict[str, Any] = json.loads(task.reference or "{}")
    return str(reference.get("prompt", ""))


async def graded(name: str, data: str, limit: int | None) -> Table:
    named = parse(name)
    config = PipelineConfig.from_dict({"tasks": tables([name], data=data)})
    card = card_of(Registry().assemble(config)[0].plugin, named.dataset)
    found = list(Runtime(config).tasks(named.source, named.dataset, limit=limit))
    table = Table(len(found))
    golds = [gold(task) for task in found]
    others = [next((text for text in (*golds[place:], *golds) if text != own), None) for place, own in enumerate(golds)]
    free = asyncio.Semaphore(SIDE_BY_SIDE)
    grader = {card.grader.use: {"use": card.grader.use, **card.grader.options}}
    async with Runtime(PipelineConfig.from_dict({"verifiers": grader})) as runtime:

        async def one(kind: str, task: Task, text: str | None) -> None:
            if text is None:
                return
            async with free:
                (verdict,) = await runtime.verify(task.problem, [Candidate(id=kind, text=text)], task.reference)
            table.counts[kind][verdict.status] += 1
            if (verdict.status == "correct") == (kind == "other"):
                table.odd.append(f"{task.problem.id}: {kind}: {verdict.status}: {verdict.reason[:100]}")

        await gather(one("gold", task, text) for task, text in zip(found, golds, strict=True))
        await gather(one("worked", task, worked(task)) for task in found)
        await gather(one("other", task, text) for task, text in zip(found, others, strict=True))
    return table


@dataclass
class Table:
    """What the grader said: of the gold, of the worked solution, of another problem's gold."""

    size: int
    counts: dict[str, collections.Counter[str]] = field(default_factory=lambda: collections.defaultdict(collections.Counter))
    odd: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = [self.counts["gold"][status] for status in ("correct", "incorrect", "undecided")]
        rest = self.counts["gold"].total() - sum(said)
        shown = self.counts["worked"]
        other = self.counts["other"]
        cells = [self.size, *said, rest, f"{shown['correct']} of {shown.total()}", f"{other['correct']} of {other.total()}"]
        return " | ".join(map(str, cells))


def rows(names: list[str], data: str, limit: int | None) -> Iterator[str]:
    odd: list[str] = []
    yield f"| {'task':17} | problems | gold: correct | incorrect | undecided | else | worked: correct | another's: correct | s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in names:
        began = time.perf_counter()
        try:
            table = asyncio.run(graded(name, data, limit))
        except K2Error as error:
            yield f"| {name:17} | not checked: {' '.join(str(error).split())[:150]} |"
            continue
        yield f"| {name:17} | {table} | {time.perf_counter() - began:.1f} |"
        odd += [f"{name}  {line}" for line in sorted(table.odd)]
    yield ""
    yield f"gold or worked solution not correct, or another's gold correct: {len(odd)}"
    yield from odd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of local copies")
    parser.add_argument("tasks", nargs="*", help="names; by default all of the catalogue")
    parser.add_argument("--limit", type=int, default=None)
    args = parser.parse_args()
    for line in rows(args.tasks or list(ENTRIES), args.data, args.limit):
        print(line, flush=True)


if __name__ == "__main__":
    main()
