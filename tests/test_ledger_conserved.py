"""The ledger loses nothing: in random runs against a server that fails in every way, its counts are the server's own.

`python tests/test_ledger_conserved.py 10000` runs more of them and prints what happened; K2CORE_LEDGER_RUNS does so for the test.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from faulty_server import PATIENCE, FaultyServer, SteppedLoop

from k2core import DecodeRequest, K2Error, Message, PipelineConfig, Plugin, Problem, Registry, Runtime, Usage, hookimpl

COUNTS = ("started", "served", "cancelled", "failed", "completion_tokens")

PIPELINES: dict[str, dict[str, Any]] = {
    "best of 3": {"sampler": {"use": "best-of-n", "n": 3}},
    "best of 3 in one request": {"sampler": {"use": "best-of-n", "n": 3, "batch": "all"}},
    "best of 5 in twos, no retries": {"sampler": {"use": "best-of-n", "n": 5, "batch": 2}, "retry": {"attempts": 1}},
    "soft deadline": {"sampler": {"use": "best-of-n", "n": 4, "min_candidates": 2}, "limits": {"soft_deadline": 0.6}},
    "hard time-out": {"sampler": {"use": "best-of-n", "n": 3}, "limits": {"timeout": 1.2}},
    "both limits": {"sampler": {"use": "best-of-n", "n": 4}, "limits": {"timeout": 2.5, "soft_deadline": 0.9}},
    "bare calls": {"sampler": {"use": "single"}},
}


class Bookkeeper(Plugin):
    """Keeps each run's usage as its last event tells it."""

    usage: dict[int, Usage]

    @hookimpl
    def k2_event(self, event: Any) -> None:
        if event.kind == "run_started":
            self.names[event.run_id] = int(event.problem.id)
        elif event.kind == "run_ended":
            self.usage[self.names.pop(event.run_id)] = sum(event.usage.values(), Usage())

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.names: dict[str, int] = {}


@dataclass
class Report:
    """What came of a number of runs."""

    runs: int
    server: Counter[str] = field(default_factory=Counter)
    kernel: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Trial:
    """Random runs through every pipeline, at most `width` at a time."""

    def __init__(self, runs: int, seed: int, width: int = 48) -> None:
        self.runs, self.seed, self.width = runs, seed, width
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.usage: dict[int, Usage] = {}
        self.report = Report(runs)

    def runtime(self, tables: dict[str, Any], url: str) -> Runtime:
        decoder = {"use": "openai", "base_url": url, "first_timeout": PATIENCE, "idle_timeout": PATIENCE, "connections": 4096}
        retry = {"attempts": 3, "base": 0.05, "max": 2.0, **tables.get("retry", {})}
        registry = Registry()
        registry.add("hook", "books", type("Books", (Bookkeeper,), {"usage": self.usage, "__module__": __name__}))
        tables = {**tables, "decoders": {"solver": decoder}, "retry": retry, "hooks": {"books": {}}}
        return Runtime(PipelineConfig.from_dict(tables), registry=registry)

    async def play(self) -> Report:
        async with FaultyServer(self.seed, self.cut) as server, AsyncExitStack() as stack:
            runtimes = {
                name: await stack.enter_async_context(self.runtime(tables, server.url)) for name, tables in PIPELINES.items()
            }
            places = asyncio.Semaphore(self.width)
            await asyncio.gather(*(self.start(number, places, runtimes) for number in range(self.runs)))
            self.compare(server, list(runtimes.values()))
        current = asyncio.current_task()
        self.report.left += [repr(task) for task in asyncio.all_tasks() if task is not current]
        return self.report

    def cut(self, number: int) -> None:
        self.tasks[number].cancel()

    async def start(self, number: int, places: asyncio.Semaphore, runtimes: dict[str, Runtime]) -> None:
        """One run in a task of its own, which is sometimes cancelled."""
        rng = random.Random(f"{self.seed}/{number}")
        async with places:
            name = rng.choice(list(runtimes))
            work = self.calls if name == "bare calls" else self.solve
            task = self.tasks[number] = asyncio.ensure_future(work(number, rng, runtimes[name]))
            loop, when = asyncio.get_running_loop(), rng.expovariate(1.0)
            timer = loop.call_later(when, task.cancel) if rng.random() < 0.3 else None
            done = (await asyncio.gather(task, return_exceptions=True))[0]
            if timer:
                timer.cancel()
        if done is not None and not isinstance(done, K2Error | asyncio.CancelledError):
            self.report.wrong.append(f"run {number} ended with {done!r}")
        self.report.ends[f"{name}: {type(done).__name__ if done else 'answered'}"] += 1

    async def solve(self, number: int, rng: random.Random, rt: Runtime) -> None:
        await rt.solve(Problem(id=str(number), prompt=f"run {number} : what next?"), seed=number)

    async def calls(self, number: int, rng: random.Random, rt: Runtime) -> None:
        """Concurrent calls without a sampler, each of them cancelled on its own now and then."""
        request = DecodeRequest(messages=(Message(role="user", content=f"run {number} :"),), n=rng.randint(1, 3))
        async with rt.open(Problem(id=str(number), prompt="x"), seed=number) as run:
            tasks = [asyncio.ensure_future(run.decode(request)) for _ in range(rng.randint(1, 4))]
            loop = asyncio.get_running_loop()
            timers = [loop.call_later(rng.expovariate(2.0), t.cancel) for t in tasks if rng.random() < 0.3]
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                for timer in timers:
                    timer.cancel()
                for task in tasks:
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait(tasks)

    def compare(self, server: FaultyServer, runtimes: Sequence[Runtime]) -> None:
        """Every run, and all together, in the server's books and in the kernel's."""
        report = self.report
        for number in range(self.runs):
            theirs, ours = server.books.of(number), self.usage.get(number, Usage())
            report.server.update(theirs)
            if any(theirs[count] != getattr(ours, count) for count in COUNTS):
                entries = "; ".join(f"{e.fate}: {e.outcome}, {e.tokens}" for e in server.books.runs[number])
                report.wrong.append(f"run {number}: kernel {short(ours)}, server {dict(theirs)} ({entries})")
        total = sum((rt.ledger.total for rt in runtimes), Usage())
        report.kernel = Counter({count: getattr(total, count) for count in COUNTS})
        report.fates = server.books.fates()
        report.left += [f"{rt.ledger.in_flight} calls in flight" for rt in runtimes if rt.ledger.in_flight]


def short(usage: Usage) -> dict[str, int]:
    return {count: getattr(usage, count) for count in COUNTS}


def play(runs: int, seed: int) -> Report:
    """The trial, and what it has left behind when all is over."""
    process, threads = psutil.Process(), threading.active_count()
    before = len(process.net_connections()), process.num_fds(), len(process.children())
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        report = runner.run(Trial(runs, seed).play())
    gc.collect()
    after = len(process.net_connections()), process.num_fds(), len(process.children())
    if after != before:
        report.left.append(f"sockets, file descriptors, children: {before} before, {after} after")
    if threading.active_count() != threads:
        report.left.append(f"threads: {threading.enumerate()}")
    return report


@pytest.mark.parametrize("seed", [1, 2])
def test_the_ledger_is_conserved(seed: int) -> None:
    runs = int(os.environ.get("K2CORE_LEDGER_RUNS", "300")) // 2
    report = play(runs, seed)
    assert not report.wrong, "\n".join(report.wrong[:20])
    assert not report.left
    assert {count: report.kernel[count] for count in COUNTS} == {count: report.server[count] for count in COUNTS}
    assert report.kernel["started"] == sum(report.kernel[outcome] for outcome in ("served", "cancelled", "failed"))
    assert all(report.kernel[count] > 50 for count in COUNTS)  # every kind was really met


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 2026
    began = time.perf_counter()
    report = play(runs, seed)
    print(f"{runs} runs, seed {seed}, {time.perf_counter() - began:.0f} s\n\n{'':20}{'kernel':>10}{'server':>10}")
    for count in COUNTS:
        print(f"{count:20}{report.kernel[count]:10}{report.server[count]:10}")
    print("\nrequests by fate and outcome")
    for name, number in sorted(report.fates.items()):
        print(f"  {name:40}{number:8}")
    print("\nruns by pipeline and end")
    for name, number in sorted(report.ends.items()):
        print(f"  {name:40}{number:8}")
    print(f"\nruns whose books differ: {len(report.wrong)}; left behind: {report.left or 'nothing'}")
    print("\n".join(report.wrong[:20]))
    same = all(report.kernel[count] == report.server[count] for count in COUNTS)
    return 0 if same and not report.wrong and not report.left else 1


if __name__ == "__main__":
    sys.exit(main())
