"""How many threads pay, idle, beside busy loops, and beside a second model in the process that does nothing: tokens/s of one
sequence; and how long loading holds up the event loop.

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
BESIDE = "an idle model"
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


async def measure(threads: int, models: int = 1) -> tuple[float, float]:
    """Tokens/s, and the stall while the models loaded; only one of them is asked, once all have been."""
    options = {"use": "llamacpp", "threads": threads, "parallel": 1}
    decoders = {name: {**options, "context": 512 + 256 * place} for place, name in enumerate(("solver", "other")[:models])}
    config = PipelineConfig.from_dict({"decoders": decoders})
    stop = asyncio.Event()
    watch = asyncio.create_task(longest_stall(stop))
    await asyncio.sleep(0)
    async with Runtime(config) as runtime:
        stop.set()
        stall = await watch
        async with runtime.open("x") as run:
            for name in decoders:
                await run.decode(REQUEST.model_copy(update={"max_tokens": 2, "decoder": name}))
            began = time.perf_counter()
            [completion] = await run.decode(REQUEST)
            return completion.tokens / (time.perf_counter() - began), stall


def main(repeats: int) -> None:
    rates, stalls = defaultdict[tuple[int, int | str], list[float]](list), list[float]()
    for _ in range(repeats):
        for busy in BUSY:
            for threads in THREADS:
                with busy_loops(busy):
                    rate, stall = asyncio.run(measure(threads))
                rates[threads, busy].append(rate)
                stalls += [stall] if busy == 0 else []
        for threads in THREADS:
            rates[threads, BESIDE].append(asyncio.run(measure(threads, models=2))[0])
    print("threads  " + "".join(f"{busy} busy loops  " for busy in BUSY) + BESIDE)
    for threads in THREADS:
        row = [statistics.median(rates[threads, beside]) for beside in (*BUSY, BESIDE)]
        print(f"{threads or 'chosen':>7}  " + "".join(f"{rate:12.0f}  " for rate in row))
    print(f"loading held the event loop up for {statistics.median(stalls):.2f} s on an idle machine")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["5"])[0]))
