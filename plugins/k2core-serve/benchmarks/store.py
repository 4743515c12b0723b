"""What keeping requests costs: CPU a request with and without the store, interleaved in one run; and how fast it is searched.

python plugins/k2core-serve/benchmarks/store.py [requests]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from k2core_serve.records import NoRecorder, Recorder, RequestRecord
from k2core_serve.store import Found, StoreOptions, TraceStore

from k2core import PipelineConfig, Problem, Registry, Runtime
from k2core.events import RunEnded
from k2core.testing import FakeSampler, fake_decoder

ROUNDS, CONCURRENCY = 7, 16
TEXT = "The answer follows from the first equation. " * 20


async def one(runtime: Runtime, recorder: Recorder, id: str, number: int) -> None:
    record = RequestRecord(id, "p", "v", "ann", time.time(), Problem(prompt=f"Question {number}: what is {number} times 7?"))
    recorder.begin(record)
    async for event in runtime.stream(record.problem, seed=number):
        recorder.event(id, event)
    assert isinstance(event, RunEnded)
    record.result, record.usage, record.seconds = event.result, event.usage, event.at
    if kept := recorder.end(record):
        assert await asyncio.wrap_future(kept)


async def load(runtime: Runtime, recorder: Recorder, name: str, requests: int) -> tuple[float, float]:
    """CPU milliseconds a request, all threads of the process together, and requests a second."""
    numbers = iter(range(requests))

    async def client() -> None:
        for number in numbers:
            await one(runtime, recorder, f"{name}-{number}", number)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONCURRENCY)))
    return (time.process_time() - cpu) / requests * 1e3, requests / (time.perf_counter() - wall)


async def main(requests: int) -> None:
    registry = Registry()
    registry.add("sampler", "fake-n", FakeSampler)
    registry.add("decoder", "fake", fake_decoder(lambda request, index: TEXT))
    config = PipelineConfig.from_dict({"sampler": {"use": "fake-n"}, "decoders": {"solver": {"use": "fake"}}})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        with TraceStore(path) as store, TraceStore(Path(folder) / "full.db", StoreOptions(synchronous="full")) as full:
            async with Runtime(config, registry=registry) as runtime:
                arms: dict[str, Recorder] = {"no store": NoRecorder(), "store": store, "store, synchronous = full": full}
                found: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
                for turn in range(ROUNDS):
                    for name, recorder in arms.items():
                        found[name].append(await load(runtime, recorder, f"{name}{turn}", requests))
            print(f"{requests} requests a round, {CONCURRENCY} side by side, medians of {ROUNDS} rounds")
            for name, figures in found.items():
                cpu, rate = (statistics.median(values) for values in zip(*figures, strict=True))
                print(f"{name:28} {cpu:6.3f} ms CPU a request {rate:8.0f} requests/s")
            rows = store.counters()["recorded"]
            print(f"{rows:.0f} requests kept, {path.stat().st_size / rows:.0f} bytes each")
            for text in ("Question 17", "equation answer", "nowhere"):
                began = time.perf_counter()
                hits = len(store.find(Found(text=text)).rows)
                print(f"search {text!r:20} {1e3 * (time.perf_counter() - began):6.1f} ms, {hits} on the first page")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
