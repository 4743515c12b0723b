"""Short executions a second: warm workers, a cold start, and beside them a bare `python -I -S -c` process for each.

    python plugins/k2core-verifier-code/benchmarks/executions.py [--count N] [--repeats R] [--workers W]

Every execution is another program with the same two asserts; the cache is off. The bare process has no sandbox, no limits and no
protection of its verdict: it is what the isolation is paid against.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from k2core_verifier_code.plugin import CodeConfig, CodeVerifier

from k2core import Candidate, Problem

TESTS = ["assert f(2) == 4", "assert f(3) == 9"]


def programs(count: int) -> list[str]:
    return [f"def f(x):\n    return x * x + {number} - {number}\n" for number in range(count)]


async def warm(verifier: CodeVerifier, count: int) -> float:
    """Executions a second of a started verifier."""
    candidates = [Candidate(id=str(place), text=text) for place, text in enumerate(programs(count))]
    began = time.perf_counter()
    verdicts = await verifier.k2_verify(Problem(prompt="x"), candidates, json.dumps({"tests": TESTS}))
    seconds = time.perf_counter() - began
    assert all(verdict.status == "correct" for verdict in verdicts)
    return count / seconds


def bare(workers: int, count: int) -> float:
    """Processes a second that run the same programs and asserts without any protection."""

    def one(text: str) -> None:
        subprocess.run([sys.executable, "-I", "-S", "-c", "\n".join([text, *TESTS])], check=True)

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, programs(count)))
    return count / (time.perf_counter() - began)


async def cold(sandbox: str) -> float:
    """Seconds from nothing to the first verdict, the search for a working sandbox included."""
    verifier = CodeVerifier(CodeConfig(sandbox=sandbox, workers=1))  # type: ignore[arg-type]  # as the command line says
    began = time.perf_counter()
    try:
        await verifier.k2_start()
        await warm(verifier, 1)
        return time.perf_counter() - began
    finally:
        await verifier.k2_stop()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    started: dict[str, CodeVerifier] = {}
    for name in ("bubblewrap", "landlock"):
        verifier = CodeVerifier(CodeConfig(sandbox=name, workers=options.workers, cache=0))  # type: ignore[arg-type]  # one of the choices
        try:
            await verifier.k2_start()
        except RuntimeError as error:
            print(error)
            continue
        started[name] = verifier
    for _ in range(options.repeats):
        found.setdefault("bare processes", []).append(bare(options.workers, options.count))
        for name, verifier in started.items():
            found.setdefault(f"{name}, warm", []).append(await warm(verifier, options.count))
    for verifier in started.values():
        await verifier.k2_stop()
    for name, rates in found.items():
        each = ", ".join(f"{rate:.0f}" for rate in rates)
        print(f"{name}: {statistics.median(rates):.0f} executions/s with {options.workers} workers ({each})")
    for name in started:
        seconds = [await cold(name) for _ in range(options.repeats)]
        print(f"{name}, cold: {statistics.median(seconds):.2f} s to the first verdict")


if __name__ == "__main__":
    asyncio.run(main())
