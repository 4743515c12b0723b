"""How many threads pay, idle and beside busy loops: tokens/s of one sequence, and how long loading holds up the event loop.

`python benchmarks/threads.py [REPEATS]`. Cells are interleaved; each figure is the median of the repeats. libgomp's own
settings can be tried from outside: `OMP_WAIT_POLICY=passive python benchmarks/threads.py`.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from k2core import DecodeRequest, Message, PipelineConfig, Runtime

THREADS = (1, 2, 0)
"""0 is the decoder's own choice."""
BUSY = (0, 1, 2)
REQUEST = DecodeRequest(messages=(Message(role="user", content="Tell a long story."),), max_tokens=64, seed=1)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a core; they are running when the block begins."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


async def longest_stall(stop: asyncio.Event) -> float:
    """Seconds for which the event loop stood still at most."""
    longest = 0.0
    while not stop.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - began - 0.005)
    return longest


async def measure(threads: int) -> tuple[float, float]:
    """Tokens/s, and the stall while the model loaded."""
    config = PipelineConfig.from_dict(
        {"decoders": {"solver": {"use": "llamacpp", "threads": threads, "parallel": 1, "context": 512}}}
    )
    stop = asyncio.Event()
    watch = asyncio.create_task(longest_stall(stop))
    await asyncio.sleep(0)
    async with Runtime(config) as runtime:
        stop.set()
        stall = await watch
        async with runtime.open("x") as run:
            began = time.perf_counter()
            [completion] = await run.decode(REQUEST)
            return completion.tokens / (time.perf_counter() - began), stall


def main(repeats: int) -> None:
    rates, stalls = defaultdict[tuple[int, int], list[float]](list), list[float]()
    for _ in range(repeats):
        for busy in BUSY:
            for threads in THREADS:
                with busy_loops(busy):
                    rate, stall = asyncio.run(measure(threads))
                rates[threads, busy].append(rate)
                stalls += [stall] if busy == 0 else []
    print("threads  " + "".join(f"{busy} busy loops  " for busy in BUSY))
    for threads in THREADS:
        print(f"{threads or 'chosen':>7}  " + "".join(f"{statistics.median(rates[threads, busy]):12.0f}  " for busy in BUSY))
    print(f"loading held the event loop up for {statistics.median(stalls):.2f} s on an idle machine")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["5"])[0]))
