"""What the kernel costs: a best-of-1 pipeline against a bare HTTP client, and how long k2core takes to start.

`python benchmarks/kernel.py` starts `mock_server.py` in a process of its own and, in one interleaved run, sends the same request
by a bare aiohttp client and through `Runtime.solve`, one at a time and sixteen at a time. Figures are medians. Wall times and rates
suffer from whatever else the machine does; the processor time a request takes in the client suffers least.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from mock_server import serving

from k2core import PipelineConfig, Registry, Runtime

QUESTION = "What is 2 + 2, times ten, plus two?"
ANSWER = "\\boxed{42}"
CONCURRENT = 16
Ask = Callable[[], Awaitable[None]]
"""One request and its answer, checked."""


@asynccontextmanager
async def bare(url: str, stream: bool) -> AsyncIterator[Ask]:
    """The least that a careful client does: the pipeline's own body, one pooled session, every JSON object decoded."""
    body = {
        "messages": [{"role": "user", "content": f"{QUESTION}\n\nPut the final answer in \\boxed{{}}."}],
        "n": 1,
        "max_tokens": 1024,
        "temperature": 0.7,
        "top_p": 0.95,
        "stream": stream,
        "seed": 1,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}

    async def whole() -> None:
        async with session.post(url + "/chat/completions", json=body) as response:
            answer = await response.json()
        assert answer["choices"][0]["message"]["content"].endswith(ANSWER)

    async def events() -> None:
        text = ""
        async with session.post(url + "/chat/completions", json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        text += choice["delta"].get("content") or ""
        assert text.endswith(ANSWER)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield events if stream else whole


@asynccontextmanager
async def pipeline(url: str, stream: bool, verifier: str = "") -> AsyncIterator[Ask]:
    """A best-of-1 pipeline through `Runtime.solve`."""
    tables: dict[str, Any] = {
        "sampler": {"use": "best-of-n", "n": 1},
        "decoders": {"solver": {"use": "openai", "base_url": url, "stream": stream}},
        "verifiers": {verifier: {}} if verifier else {},
    }

    async def ask() -> None:
        result = await runtime.solve(QUESTION, seed=1)
        assert result.candidate.text.endswith(ANSWER)

    async with Runtime(PipelineConfig.from_dict(tables)) as runtime:
        yield ask


async def one_by_one(ask: Ask, requests: int) -> list[float]:
    """Seconds of each of so many requests, one after the other."""
    seconds = []
    for _ in range(requests):
        began = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - began)
    return seconds


async def at_once(ask: Ask, requests: int) -> tuple[float, float]:
    """Requests a second with sixteen in flight, and the processor seconds that each took in this process."""
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await ask()

    began, used = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENT):
            group.create_task(worker())
    return requests / (time.perf_counter() - began), (time.process_time() - used) / requests


async def measure(url: str, rounds: int, requests: int) -> list[Sequence[object]]:
    """A row for each way to ask: in every round each of them has its turn, so that all see the same machine."""
    verifier = "math" if any(f.role == "verifier" and f.name == "math" for f in Registry().find_all()) else ""
    async with AsyncExitStack() as stack:
        ways: dict[tuple[bool, str], Ask] = {}
        for stream in (False, True):
            ways[stream, "bare client"] = await stack.enter_async_context(bare(url, stream))
            ways[stream, "best-of-1"] = await stack.enter_async_context(pipeline(url, stream))
            if verifier:
                ways[stream, "best-of-1, math verifier"] = await stack.enter_async_context(pipeline(url, stream, verifier))
        for ask in ways.values():
            await at_once(ask, 4 * CONCURRENT)
        figures = {way: Figures() for way in ways}
        for _ in range(rounds):
            for way, ask in ways.items():
                figures[way].seconds += await one_by_one(ask, requests)
                rate, used = await at_once(ask, 4 * requests)
                figures[way].rates.append(rate)
                figures[way].used.append(used)
    return [row(way, figures[way], figures[way[0], "bare client"]) for way in ways]


@dataclass
class Figures:
    """What was measured of one way to ask."""

    seconds: list[float] = field(default_factory=list)
    """Of each request, one at a time."""
    rates: list[float] = field(default_factory=list)
    """Requests a second in each round, sixteen at a time."""
    used: list[float] = field(default_factory=list)
    """Processor seconds a request in each round."""


def row(way: tuple[bool, str], mine: Figures, base: Figures) -> Sequence[object]:
    overhead = statistics.median(mine.seconds) - statistics.median(base.seconds)
    ratio = statistics.median(a / b for a, b in zip(mine.rates, base.rates, strict=True))
    compared = ["", "", ""]
    if mine is not base:
        met = "met" if overhead < 1e-3 and ratio >= 0.6 else "missed"
        compared = [f"{overhead * 1e3:+.2f}", f"{ratio:.2f}", met]
    used, rate = f"{statistics.median(mine.used) * 1e6:.0f}", f"{statistics.median(mine.rates):.0f}"
    return ["stream" if way[0] else "JSON", way[1], f"{statistics.median(mine.seconds) * 1e3:.2f}", rate, used, *compared]


def fresh(command: Sequence[str], times: int) -> float:
    """Median wall seconds of a command in fresh processes."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def imported(times: int) -> float:
    """Median seconds that `import k2core` takes in fresh processes, the interpreter's own start not counted."""
    code = "import time; t = time.perf_counter(); import k2core; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(times)]
    return statistics.median(float(run.stdout) for run in runs)


def table(rows: Sequence[Sequence[object]]) -> str:
    widths = [max(len(str(row[at])) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def start_up(times: int) -> list[Sequence[object]]:
    k2 = [sys.executable, "-m", "k2core", "--help"]
    figures = [("import k2core", imported(times), 0.2), ("k2 --help", fresh(k2, times), 0.4)]
    return [[what, f"{seconds:.3f}", f"{target}", "met" if seconds < target else "missed"] for what, seconds, target in figures]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="times that everything is measured (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=60, help="requests, one at a time, a round (default: %(default)s)")
    parser.add_argument("--latency", type=float, default=0.002, help="seconds the server takes (default: %(default)s)")
    arguments = parser.parse_args()
    with serving(arguments.latency) as url:
        rows = asyncio.run(measure(url, arguments.rounds, arguments.requests))
    print(
        f"server latency {arguments.latency * 1e3:g} ms; targets: overhead < 1 ms at the median, at {CONCURRENT} ≥ 0.60 of the rate"
    )
    head = ["answer", "client", "ms", f"requests/s at {CONCURRENT}", "CPU µs", "overhead ms", "of bare rate", "targets"]
    print(table([head, *rows]), "\n")
    print(table([["start", "seconds", "target", ""], *start_up(arguments.rounds)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
