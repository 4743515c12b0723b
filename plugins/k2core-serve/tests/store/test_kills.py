"""SIGKILL under load, again and again on the same file: every request that was acknowledged is there, whole."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from k2core_serve.store import Found, open_store

SERVER = """
import asyncio, sys, time
from k2core import PipelineConfig, Problem, Registry, Runtime
from k2core.testing import FakeSampler, FakeVerifier, fake_decoder
from k2core_serve.records import RequestRecord
from k2core_serve.store import open_store

path, generation = sys.argv[1:]
registry = Registry()
registry.add("sampler", "fake-n", FakeSampler)
registry.add("verifier", "fake-verify", FakeVerifier)
registry.add("decoder", "fake", fake_decoder(lambda request, index: "The answer is \\\\boxed{42}. " + "word " * 40))
config = {"sampler": {"use": "fake-n", "n": 2}, "verifiers": {"fake-verify": {}}, "decoders": {"solver": {"use": "fake"}}}

async def client(store, runtime, name):
    number = 0
    while True:
        number += 1
        record = RequestRecord(f"{generation}-{name}-{number}", "p", "v", "ann", time.time(), Problem(prompt=f"Question {number}"))
        store.begin(record)
        async for event in runtime.stream(record.problem, seed=number):
            store.event(record.id, event)
        record.result, record.usage, record.seconds = event.result, event.usage, event.at
        assert await asyncio.wrap_future(store.end(record))
        print(record.id, sum(u.completion_tokens for u in record.usage.values()), flush=True)  # the client has its answer

async def main():
    with open_store(path) as store:
        async with Runtime(PipelineConfig.from_dict(config), registry=registry) as runtime:
            await asyncio.gather(*(client(store, runtime, name) for name in range(8)))

asyncio.run(main())
"""


def killed(path: Path, generation: int, after: float) -> list[tuple[str, int]]:
    """What a server had answered when it was killed, some time after its first answer and with its hands tied: another process
    holds the file, so that what is acknowledged then without having been written is lost for certain."""
    command = [sys.executable, "-c", SERVER, str(path), str(generation)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        time.sleep(after)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as holding:
            holding.execute("BEGIN IMMEDIATE")
            time.sleep(0.3)
            child.send_signal(signal.SIGKILL)
            child.wait(20)
        lines += child.stdout.read().splitlines(keepends=True)
    told = [line.split() for line in lines if line.endswith("\n")]  # the last may have been cut
    return [(id, int(tokens)) for id, tokens in told]


def test_every_finished_request_is_there_after_each_kill(tmp_path):
    path, random_ = tmp_path / "traces.db", random.Random(5)
    answered: dict[str, int] = {}
    for generation in range(3):
        answered.update(killed(path, generation, random_.uniform(0.02, 0.4)))
        with open_store(path) as store:
            found, before = {}, None
            while True:
                page = store.find(Found(limit=100, before=before))
                found.update({row["id"]: row for row in page.rows})
                if (before := page.next) is None:
                    break
            assert answered.keys() <= found.keys()
            assert {found[id]["state"] for id in answered} == {"answered"}
            for id in random_.sample(sorted(answered), min(20, len(answered))):
                trace = store.read(id)
                assert trace.damage == ""
                assert trace.events[-1]["kind"] == "run_ended"
                assert sum(usage.completion_tokens for usage in trace.usage.values()) == answered[id]
            finished = [row for row in found.values() if row["state"] == "answered"]
            assert {row["state"] for row in found.values()} <= {"answered", "interrupted"}
            assert sum(row["tokens"] for row in finished) == store.spent()["ann"].tokens, "the books are those of the traces"
    assert len(answered) > 50
