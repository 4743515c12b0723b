"""Verifications a second, beside math-verify's own: `python benchmarks/throughput.py [FOLDER] [--repeats N]`.

Plain numbers and short expressions are generated, new ones for each repeat; with FOLDER a sample (`--limit`) of the non-trivial
labelled pairs of its `pairs_*.jsonl` comes too.
Uncached: one after the other, all caches of this package emptied before; math-verify parses both and verifies, in this thread,
on the same pairs in the same repeat. Cached: the same pairs again, at the plugin, through `Run.verify` and `Runtime.verify`.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import json
import logging
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from hostile_inputs import decent
from k2core_verifier_math.plugin import MathConfig, MathVerifier
from math_verify import parse, verify  # type: ignore[import-untyped]  # ships no types

from k2core import PipelineConfig, Runtime
from k2core.types import Candidate, Problem, Verdict

Pair = tuple[str, str]
PROBLEM = Problem(prompt="What is it?")


def generated(turn: int, *, numbers: bool, count: int = 160) -> list[Pair]:
    """Pairs of plain numbers, or of short expressions; none of them in an earlier turn."""
    pairs = [(gold, answer) for gold, answer, _ in decent(12 * 80 * (turn + 1))[12 * 80 * turn :]]
    return [pair for place, pair in enumerate(pairs) if (place % 12 < 3) == numbers][:count]


def labelled(folder: Path, limit: int) -> list[Pair]:
    """So many pairs, evenly over the files; math-verify may spend its whole time-out of 5 s on one."""
    rows = [json.loads(line) for path in sorted(folder.glob("pairs_*.jsonl")) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["expected"] is not None and not (row.get("trivial") or row.get("debatable"))]
    pairs = [(row["gold"], row["prediction"]) for row in rows if row.get("kind") != "mcq_letter"]
    return pairs[:: max(1, len(pairs) // limit)][:limit]


def forget() -> None:
    """Empty every cache of functions in this package."""
    for name, module in list(sys.modules.items()):
        if name.startswith("k2core_verifier_math"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def candidate(answer: str, place: int) -> Candidate:
    return Candidate(id=f"c{place}", text=rf"So it is \boxed{{{answer}}}.")


async def timed(pairs: list[Pair], ask: Callable[[Candidate, str], Awaitable[object]]) -> float:
    """Verifications a second, one after the other."""
    tried = [(candidate(answer, place), gold) for place, (gold, answer) in enumerate(pairs)]
    gc.collect()
    started = time.perf_counter()
    for one, gold in tried:
        await ask(one, gold)
    return len(pairs) / (time.perf_counter() - started)


def theirs(pairs: list[Pair]) -> float:
    """Verifications a second of math-verify with its defaults, in this thread."""
    gc.collect()
    started = time.perf_counter()
    for gold, answer in pairs:
        verify(parse(f"${gold}$"), parse(f"${answer}$"))
    return len(pairs) / (time.perf_counter() - started)


async def ours(pairs: list[Pair], repeats: int) -> dict[str, float]:
    """Rates of the plugin: first with nothing remembered, then the median of several passes with everything remembered."""
    verifier = MathVerifier(MathConfig(workers=1))
    await verifier.k2_verify(PROBLEM, [candidate("x^{2}+97", 0)], "(x+1)^{2}")  # the worker's start is no verification
    forget()

    async def direct(one: Candidate, gold: str) -> list[Verdict]:
        return list(await verifier.k2_verify(PROBLEM, [one], gold))

    rates = {"uncached": await timed(pairs, direct)}
    rates["cached, plugin"] = statistics.median([await timed(pairs, direct) for _ in range(repeats)])
    await verifier.k2_stop()
    return rates


async def kernel(pairs: list[Pair], repeats: int) -> dict[str, float]:
    """The rates through the kernel, with everything remembered by the plugin."""
    pipeline = PipelineConfig.from_dict({"verifiers": {"math": {"workers": 1}}})
    rates = {}
    async with Runtime(pipeline) as runtime:

        async def through_runtime(one: Candidate, gold: str) -> object:
            return await runtime.verify(PROBLEM, [one], gold)

        await timed(pairs, through_runtime)
        rates["cached, Runtime.verify"] = statistics.median([await timed(pairs, through_runtime) for _ in range(repeats)])
        found = []
        for _ in range(repeats):
            async with runtime.open(PROBLEM, seed=1) as run:
                found.append(await timed(pairs, lambda one, gold, run=run: run.verify([one], gold)))
        rates["cached, Run.verify"] = statistics.median(found)
    return rates


def show(name: str, passes: list[dict[str, float]]) -> None:
    medians = {key: statistics.median(one[key] for one in passes) for key in passes[0]}
    ratios = [one["uncached"] / one["math-verify"] for one in passes]
    print(f"{name}: ", end="")
    print(*(f"{key} {value:,.0f}/s" for key, value in medians.items()), sep="; ")
    print(f"  uncached / math-verify: {statistics.median(ratios):.2f} (of {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=int, default=150, help="most labelled pairs")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sets = {
        name: [generated(turn, numbers=numbers) for turn in range(args.repeats)]
        for name, numbers in (("plain numbers", True), ("short expressions", False))
    }
    if args.folder:
        sets["labelled pairs"] = [labelled(args.folder, args.limit)] * args.repeats
    for name, turns in sets.items():
        passes = []
        for turn, pairs in enumerate(turns):
            order = (theirs, None) if turn % 2 else (None, theirs)
            rates: dict[str, float] = {}
            for one in order:
                rates |= {"math-verify": theirs(pairs)} if one else asyncio.run(ours(pairs, 3))
            passes.append(rates | asyncio.run(kernel(pairs, 3)))
        show(f"{name} ({len(turns[0])})", passes)


if __name__ == "__main__":
    main()
