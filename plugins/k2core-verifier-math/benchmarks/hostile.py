"""Hostile answers among decent ones, 512 at once: `python benchmarks/hostile.py [--timeout S] [--workers N] [--families …]`.

Every hostile text is verified as prediction, as reference, as both (against a look-alike of another value), inside a completion
and in a vote. Printed: verdicts by family and role, wrong acceptances, the time and memory of the worst comparison, how long an
event loop was held up, and whether the decent pairs fared as they do alone.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import os
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hostile_inputs import Hostile, decent, hostile
from k2core_verifier_math.plugin import MathConfig, MathVerifier

import k2core.toolkit.channels as channels
from k2core.types import Candidate, Completion, Problem, Verdict

PROBLEM = Problem(prompt="What is it?")
AT_ONCE = 512


@dataclass
class Case:
    name: str
    answer: str
    reference: str | None
    expected: bool | None
    given: bool = True
    verdict: Verdict | None = None
    seconds: float = 0.0

    def candidate(self) -> Candidate:
        return Candidate(id="c", text="" if self.given else self.answer, answer=self.answer if self.given else None)


def cases(inputs: list[Hostile]) -> list[Case]:
    found = []
    for family, text, other in inputs:
        found += [
            Case(f"{family}/prediction", text, "17", False),
            Case(f"{family}/reference", "17", text, False),
            Case(f"{family}/both", text, other, False),
            Case(f"{family}/completion", rf"So \boxed{{{text}}} or {text} and the answer is {text}", "17", False, given=False),
        ]
    return found


@dataclass
class Meter:
    """Times every exchange with a worker, and looks at the workers' memory."""

    jobs: list[tuple[float, float]] = field(default_factory=list)
    peak: dict[int, int] = field(default_factory=dict)
    stalls: list[float] = field(default_factory=list)
    show: bool = False

    @contextlib.contextmanager
    def exchanges(self) -> Iterator[None]:
        plain = channels.Process.exchange

        def timed(process: channels.Process, message: dict[str, object], seconds: float) -> dict[str, object]:
            started = time.monotonic()
            try:
                return plain(process, message, seconds)
            finally:
                self.jobs.append((time.monotonic() - started, seconds))
                if self.show and time.monotonic() - started > 0.2:
                    print(f"  {time.monotonic() - started:.2f} s: {message['gold']!s:.70} | {message['answer']!s:.70}")

        channels.Process.exchange = timed  # type: ignore[method-assign,assignment]  # a benchmark may look inside
        try:
            yield
        finally:
            channels.Process.exchange = plain  # type: ignore[method-assign]  # as above

    async def watch(self, verifier: MathVerifier) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.02)
            self.stalls.append(time.monotonic() - before - 0.02)
            for pid in verifier._pool.pids:
                self.peak[pid] = max(self.peak.get(pid, 0), address_space(pid))


def address_space(pid: int) -> int:
    """Peak, in megabytes; 0 when the process is gone."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmPeak")).split()[1]) // 1024
    return 0


async def verify(verifier: MathVerifier, work: list[Case], meter: Meter) -> None:
    limit, watcher = asyncio.Semaphore(AT_ONCE), asyncio.create_task(meter.watch(verifier))

    async def one(case: Case) -> None:
        async with limit:
            started = time.monotonic()
            [case.verdict] = await verifier.k2_verify(PROBLEM, [case.candidate()], case.reference)
            case.seconds = time.monotonic() - started

    await asyncio.gather(*map(one, work))
    watcher.cancel()


def in_threads(verifier: MathVerifier, work: list[Case], meter: Meter, threads: int) -> float:
    """Share the work between threads, each with an event loop of its own. Seconds."""
    started = time.monotonic()
    running = [
        threading.Thread(target=lambda part=work[place::threads]: asyncio.run(verify(verifier, part, meter)))
        for place in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return time.monotonic() - started


def mixed(hostile_cases: list[Case], decent_cases: list[Case]) -> list[Case]:
    """Decent ones spread evenly among the hostile."""
    every = max(1, len(hostile_cases) // max(1, len(decent_cases)))
    found, rest = list[Case](), iter(decent_cases)
    for place, case in enumerate(hostile_cases):
        found.append(case)
        if place % every == 0:
            found += [one for one in [next(rest, None)] if one]
    return found + list(rest)


def report(work: list[Case], meter: Meter, seconds: float, config: MathConfig) -> None:
    table = collections.defaultdict[str, collections.Counter[str]](collections.Counter)
    for case in work:
        assert case.verdict is not None
        table[case.name][case.verdict.status] += 1
    for name, counts in table.items():
        print(f"  {name:24}", ", ".join(f"{status} {count}" for status, count in counts.most_common()))
    wrong = [case for case in work if case.expected is False and case.verdict and case.verdict.status == "correct"]
    print(f"accepted although different: {len(wrong)}")
    for case in wrong:
        print(
            "   ",
            case.name,
            repr(case.answer[:70]),
            "=",
            repr((case.reference or "")[:70]),
            "by",
            case.verdict and case.verdict.reason,
        )
    whole = [taken for taken, allowed in meter.jobs if allowed >= config.timeout]
    peak, own = max(meter.peak.values(), default=0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    longest = max((taken for taken, _ in meter.jobs), default=0.0)
    print(f"{len(work)} verifications, {AT_ONCE} at once, {seconds:.1f} s;", end=" ")
    print(f"{len(meter.jobs)} turns of a worker, {len(whole)} of them whole")
    print(f"longest turn {longest:.2f} s, {longest / config.timeout:.3f} of the time-out")
    print(f"address space of a worker at most {peak} MB (limit {config.memory_mb} MB, {len(meter.peak)} workers seen)")
    print(f"event loop held up at most {max(meter.stalls):.3f} s; this process {own} MB")


def decent_cases(count: int) -> list[Case]:
    return [Case("decent", answer, gold, expected) for gold, answer, expected in decent(count)]


def compare_decent(alone: list[Case], among: list[Case]) -> None:
    changed = [
        (a, b) for a, b in zip(alone, among, strict=True) if a.verdict and b.verdict and a.verdict.status != b.verdict.status
    ]
    right = sum(case.verdict is not None and (case.verdict.status == "correct") == case.expected for case in among)
    times = sorted(case.seconds for case in among)
    print(f"decent pairs: {right} of {len(among)} right, {len(changed)} verdicts changed by the company;", end=" ")
    print(f"latency median {statistics.median(times):.2f} s, p95 {times[int(0.95 * len(times))]:.2f} s, worst {times[-1]:.2f} s")
    for one, other in changed:
        print("   ", one.answer, one.reference, one.verdict and one.verdict.status, "->", other.verdict and other.verdict.reason)


async def vote(verifier: MathVerifier, inputs: list[Hostile]) -> None:
    texts = [text for one in inputs for text in (one.text, one.other)] + ["17", "17.0", "16+1"]
    tried = [Candidate(id=str(place), text="", answer=text) for place, text in enumerate(texts)]
    tried.append(Candidate(id="cut", text="so 12", completion=Completion(text="so 12", finish="length")))
    started = time.monotonic()
    verdicts = await verifier.k2_verify(PROBLEM, tried, None)
    seconds = time.monotonic() - started
    together = [
        one for place, one in enumerate(inputs) if verdicts[2 * place].key == verdicts[2 * place + 1].key and one.text.strip()
    ]
    classes = len({verdict.key for verdict in verdicts})
    print(f"vote of {len(tried)}: {seconds:.1f} s, {classes} classes, different ones in one class: {len(together)}")
    for one in together:
        print("   ", one.family, repr(one.text[:60]), repr(one.other[:60]))
    print(f"17, 17.0 and 16+1: keys {verdicts[-4].key}, {verdicts[-3].key}, {verdicts[-2].key}; cut text: {verdicts[-1].status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeout", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="threads with an event loop each")
    parser.add_argument("--scale", type=int, default=1_000_000, help="length of the longest texts")
    parser.add_argument("--slow", action="store_true", help="print the texts that took a whole turn")
    parser.add_argument("--families", nargs="*", default=[])
    args = parser.parse_args()
    config = MathConfig(timeout=args.timeout, workers=args.workers)
    inputs = [one for one in hostile(args.scale) if not args.families or one.family in args.families]
    verifier, alone, among, meter = MathVerifier(config), decent_cases(200), decent_cases(200), Meter(show=args.slow)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), meter.exchanges():
        in_threads(verifier, alone, Meter(), 1)
        asyncio.run(verifier.k2_stop())
        meter.jobs.clear()
        verifier = MathVerifier(config)
        work = mixed(cases(inputs), among)
        seconds = in_threads(verifier, work, meter, args.threads)
        print(f"{len(inputs)} hostile texts")
        report(work, meter, seconds, config)
        compare_decent(alone, among)
        asyncio.run(vote(verifier, inputs[::8]))
        asyncio.run(verifier.k2_stop())
        print(f"files written by anybody: {len(os.listdir('.'))}")


if __name__ == "__main__":
    main()
