"""Latency and calls of voting samplers, ours and those of its_hub, in one run against one mock server with stragglers.

`python benchmarks/versus_its_hub.py [--peer PYTHON]`: PYTHON is an interpreter that has `its_hub[lm]` 1.2.0 installed; without
it only ours are measured. The server takes 50 ms, for every 4th request 400 ms, and answers 42, 42, 42, 7 in turn; every variant
solves 20 problems one after the other with at most 8 calls each. Columns: median and 90th percentile of the latency (ms); calls
that the server saw, and how many of them it saw aborted; calls and tokens in the books of the library; answers other than 42; the
lowest confidence stated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mock_server import serving

from k2core import PipelineConfig, Problem, Registry, Runtime
from k2core.events import SamplerStopped
from k2core.testing.fakes import EventRecorder

HERE = Path(__file__).parent
OURS: Mapping[str, Mapping[str, Any]] = {
    "majority": {"use": "majority"},
    "adaptive exact": {"use": "adaptive"},
    "adaptive exact, spare 1": {"use": "adaptive", "spare": 1},
    "adaptive learnt": {"use": "adaptive", "rule": "learnt"},
}


def stats(url: str) -> Any:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats?reset=1") as reply:
        return json.load(reply)


async def measured(url: str, sampler: Mapping[str, Any], problems: int, n: int) -> dict[str, Any]:
    """Latencies, what the server saw, and what is in the ledger."""
    stats(url)
    recorder = EventRecorder()
    registry = Registry()
    registry.add("hook", "record", type("Bound", (EventRecorder,), {"__new__": lambda cls, config=None: recorder}))
    table = {
        "sampler": {**sampler, "n": n},
        "verifiers": {"math": {}},
        "decoders": {"solver": {"use": "openai", "base_url": url, "model": "mock"}},
        "hooks": {"record": {}},
    }
    seconds, answers = [], []
    async with Runtime(PipelineConfig.from_dict(table), registry=registry) as runtime:
        for place in range(problems):
            began = time.perf_counter()
            result = await runtime.solve(Problem(prompt=f"Problem {place}: what is the answer?"), seed=place)
            seconds.append(time.perf_counter() - began)
            answers.append(result.answer)
        usage, flying = runtime.ledger.usage()["solve"], runtime.ledger.in_flight
    await asyncio.sleep(0.1)  # the server hears of the last broken connections
    assert flying == 0
    assert usage.started == usage.served + usage.cancelled + usage.failed
    stated = [event.confidence for event in recorder.of(SamplerStopped) if event.confidence is not None]
    books = {"booked": usage.started, "tokens": usage.tokens, "stated": min(stated, default=None)}
    return {"seconds": seconds, "server": stats(url), "answers": answers, **books}


def ours(url: str, problems: int, n: int) -> Iterator[dict[str, Any]]:
    for name, sampler in OURS.items():
        yield {"name": f"k2core {name}", **asyncio.run(measured(url, sampler, problems, n))}


def theirs(url: str, python: str, problems: int, n: int) -> Iterator[dict[str, Any]]:
    command = [python, str(HERE / "versus_its_hub_peer.py"), url, str(problems), str(n)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    yield from map(json.loads, done.stdout.splitlines())


def shown(row: Mapping[str, Any]) -> str:
    seconds, server = sorted(row["seconds"]), row["server"]
    wrong = sum(answer != "42" for answer in row["answers"])
    stated = f"{row['stated']:.3f}" if row.get("stated") else ""
    times = f"{statistics.median(seconds) * 1000:8.0f} {seconds[len(seconds) * 9 // 10] * 1000:8.0f}"
    return (
        f"{row['name']:<32}{times}{server['started']:9}{server['aborted']:9}{row['booked']:8}{row['tokens']:8}{wrong:7}  {stated}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter with its_hub[lm]==1.2.0")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("-n", type=int, default=8, help="most calls a problem (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'':<32}{'median':>8} {'90 %':>8}{'calls':>9}{'aborted':>9}{'booked':>8}{'tokens':>8}{'wrong':>7}  stated")
    with serving(0.05, "--slow-every", "4", "--slow-factor", "8", "--answers", "42,42,42,7") as url:
        for _ in range(arguments.repeats):
            for row in ours(url, arguments.problems, arguments.n):
                print(shown(row), flush=True)
            if arguments.peer:
                for row in theirs(url, arguments.peer, arguments.problems, arguments.n):
                    print(shown(row), flush=True)


if __name__ == "__main__":
    main()
