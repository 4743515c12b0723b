"""The search: every training row once, in as many processes as wanted, with a result that does not depend on their number."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from .find import KINDS, Found, find
from .index import SHINGLE, Index, Item
from .report import FoundProblem, Match, Report, TaskCount, Training
from .rows import ROWS, Batch, Row, batches, parse, sample
from .text import normalised

KEPT = 3
"""Best matches of a problem that are kept."""
TOLD = 20
SAMPLED = 4000

Progress = Callable[[int, int, int], None]
"""Called now and then with rows, characters and problems found so far."""


@dataclass
class Hits:
    """The matches of one problem: the best few, and how many."""

    rows: int = 0
    best: list[Match] = field(default_factory=list)

    def add(self, match: Match) -> None:
        self.rows += 1
        self.best = sorted([*self.best, match], key=_order)[:KEPT]

    def join(self, other: Hits) -> None:
        self.rows += other.rows
        self.best = sorted([*self.best, *other.best], key=_order)[:KEPT]


def _order(match: Match) -> tuple[int, float, float, str, int, float, str]:
    numbers = -1.0 if match.numbers is None else match.numbers
    return KINDS.index(match.kind), -match.score, -numbers, match.file, match.row, -match.ngrams, match.excerpt


@dataclass
class Part:
    """What a part of the training data gave; joining parts in any order gives the same."""

    rows: int = 0
    characters: int = 0
    damaged: int = 0
    examples: list[str] = field(default_factory=list)
    found: dict[int, Hits] = field(default_factory=dict)
    possible: dict[int, Hits] = field(default_factory=dict)

    def add(self, found: Found, row: Row) -> None:
        match = Match(
            kind=found.kind, file=row.file, row=row.number, score=found.score,
            ngrams=found.share, numbers=found.numbers, excerpt=found.excerpt,
        )  # fmt: skip
        hits = self.possible if found.kind == "possible" else self.found
        hits.setdefault(found.problem, Hits()).add(match)

    def join(self, other: Part) -> None:
        self.rows += other.rows
        self.characters += other.characters
        self.damaged += other.damaged
        self.examples = sorted([*self.examples, *other.examples])[:TOLD]
        for mine, theirs in ((self.found, other.found), (self.possible, other.possible)):
            for problem, hits in theirs.items():
                mine.setdefault(problem, Hits()).join(hits)


def search(index: Index, rows: Sequence[Row]) -> Part:
    """Look for the index's problems in some rows."""
    part = Part(rows=len({(row.file, row.number) for row in rows}), characters=sum(len(row.text) for row in rows))
    best: dict[tuple[int, str, int], Found] = {}
    for found in find(index, [row.text for row in rows]):
        row = rows[found.row]
        key = (found.problem, row.file, row.number)
        if key not in best or _rank(found) < _rank(best[key]):  # a long row comes in pieces that overlap
            best[key] = found
    for found in best.values():
        part.add(found, rows[found.row])
    return part


def _rank(found: Found) -> tuple[int, float]:
    return KINDS.index(found.kind), -found.score


def scan(evaluation: Iterable[tuple[str, str]], train: Iterable[Row | str], task: str = "evaluation") -> Report:
    """Look for problems, given as (id, text), in training rows; in this process, in bounded memory."""
    items = [Item(task, place, name, text) for place, (name, text) in enumerate(evaluation)]
    rows = (row if isinstance(row, Row) else Row("", number, row) for number, row in enumerate(train, 1))
    first = list(islice(rows, SAMPLED))
    index = Index(items, [row.text[:20_000] for row in first])
    total = Part()
    for some in _chunked(_chained(first, rows)):
        total.join(search(index, some))
    return report(items, total)


def scan_files(
    items: Sequence[Item], files: Sequence[Path], fields: Sequence[str] = (), jobs: int = 1, progress: Progress | None = None
) -> Report:
    """Look for the items in files, by `jobs` processes. Raises `ConfigError` for a file that needs a library that is missing."""
    index = Index(items, sample(files, fields, SAMPLED))
    total = Part()
    batched = (batch for path in files for batch in batches(path))
    results = (_work(index, batch, fields) for batch in batched) if jobs <= 1 else _parallel(index, batched, fields, jobs)
    for part in results:
        total.join(part)
        if progress:
            progress(total.rows, total.characters, len(total.found))
    return report(items, total, len(files))


def _work(index: Index, batch: Batch, fields: Sequence[str]) -> Part:
    rows, damaged = parse(batch, fields)
    part = search(index, rows)
    part.damaged, part.examples = len(damaged), sorted(damaged)[:TOLD]
    return part


_index: Index | None = None
"""In a worker process: set once when it starts."""


def _start(index: Index) -> None:
    global _index
    _index = index


def _in_worker(batch: Batch, fields: Sequence[str]) -> Part:
    assert _index is not None
    return _work(_index, batch, fields)


def _parallel(index: Index, batched: Iterator[Batch], fields: Sequence[str], jobs: int) -> Iterator[Part]:
    """At most two batches a process are in flight, so memory does not grow with the data."""
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[Part]] = deque()
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(index,)) as pool:
        try:
            for batch in batched:
                waiting.append(pool.submit(_in_worker, batch, fields))
                if len(waiting) >= 2 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def report(items: Sequence[Item], total: Part, files: int = 0) -> Report:
    """The counts and lists of what was found."""
    for problem in set(total.possible) & set(total.found):
        del total.possible[problem]
    found = [_problem(items[problem], hits) for problem, hits in sorted(total.found.items())]
    possible = [_problem(items[problem], hits) for problem, hits in sorted(total.possible.items())]
    training = Training(
        files=files, rows=total.rows, characters=total.characters, damaged=total.damaged, examples=tuple(total.examples)
    )
    return Report(tasks=tuple(_counts(items, found, possible)), found=tuple(found), possible=tuple(possible), training=training)


def _problem(item: Item, hits: Hits) -> FoundProblem:
    return FoundProblem(
        task=item.task, place=item.place, id=item.id, kind=hits.best[0].kind, rows=hits.rows, matches=tuple(hits.best)
    )  # fmt: skip


def _counts(items: Sequence[Item], found: Sequence[FoundProblem], possible: Sequence[FoundProblem]) -> Iterator[TaskCount]:
    for task in dict.fromkeys(item.task for item in items):
        mine = [one for one in found if one.task == task]
        kinds = {kind: sum(one.kind == kind for one in mine) for kind in KINDS if kind != "possible"}
        yield TaskCount(
            task=task,
            problems=sum(item.task == task for item in items),
            found=len(mine),
            changed=sum(one.changed for one in mine),
            possible=sum(one.task == task for one in possible),
            unsearched=sum(item.task == task and len(normalised(item.text)) < SHINGLE for item in items),
            **kinds,
        )


def processes() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chained(first: Sequence[Row], rest: Iterator[Row]) -> Iterator[Row]:
    yield from first
    yield from rest


def _chunked(rows: Iterator[Row], most: int = 4 << 20) -> Iterator[list[Row]]:
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row.text)
        if len(some) >= ROWS or size >= most:
            yield some
            some, size = [], 0
    if some:
        yield some
