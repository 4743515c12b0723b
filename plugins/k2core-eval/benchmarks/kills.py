"""An evaluation is killed again and again: does it end with the very files of one that was left alone?

`python plugins/k2core-eval/benchmarks/kills.py` runs `k2 eval run` once to its end, then once more with a SIGKILL at 50 random
moments, each time started again, and compares. The model is a server in this process that answers by the question and counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web


@dataclass
class Server:
    """Answers every sum right, but each fifth one wrong, after `latency` seconds; `seeds` are those it was asked with."""

    latency: float
    seeds: list[int] = field(default_factory=list)
    down: bool = False
    """Answer nothing but 503."""
    url: str = ""

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.down:
            return web.json_response({"error": {"message": "down for repair"}}, status=503)
        self.seeds.append(body["seed"])
        await asyncio.sleep(self.latency)
        one, other = map(int, re.findall(r"\d+", body["messages"][-1]["content"])[:2])
        text = f"The sum is \\boxed{{{one + other + (one % 5 == 0)}}}."
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({"model": "sums", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 7}})

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        await stop.wait()
        await runner.cleanup()


@contextmanager
def serving(latency: float) -> Iterator[Server]:
    """A server in a thread of its own."""
    server, ready = Server(latency), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(ready, stop))

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def write_task(path: Path, problems: int) -> Path:
    """A file of sums."""
    rows = ({"id": f"sum-{i}", "problem": f"What is {i} + {7 * i + 1}?", "answer": str(8 * i + 1)} for i in range(problems))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(server: Server, task: Path, out: Path, repeats: int, *more: str) -> list[str]:
    """`k2 eval run` with a pipeline of one candidate."""
    config = task.with_suffix(".toml")
    options = f'use = "openai"\nbase_url = "{server.url}"\nstream = false\n'
    config.write_text(f'[sampler]\nuse = "single"\n\n[decoders.solver]\n{options}\n[retry]\nbase = 0.05\nattempts = 2\n')
    run = [sys.executable, "-m", "k2core", "eval", "run", str(task), "--config", str(config), "--out", str(out)]
    return [*run, "--repeats", str(repeats), "--concurrency", "8", *more]


def samples(out: Path) -> list[dict[str, Any]]:
    """Those that are committed."""
    file = out / "samples.jsonl"
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def killed(run: list[str], out: Path, kills: int, longest: float, draw: random.Random) -> list[int]:
    """Start the run and kill it, so many times; how many samples there were after each."""
    counts = []
    for _ in range(kills):
        before = len(samples(out))
        process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait, working = draw.uniform(0, longest), draw.random() < 0.8
        until = time.monotonic() + 60
        while working and len(samples(out)) == before and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)  # most are killed at work, the others while they start
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        counts.append(len(samples(out)))
    return counts


def interrupted(out: Path) -> int:
    """Runs that had begun and were lost, as the last session tells."""
    lines = (out / "attempts.jsonl").read_text().splitlines()
    return [json.loads(line)["interrupted"] for line in lines if '"kind":"session"' in line][-1]


def compare(alone: Path, out: Path, asked: list[int]) -> list[tuple[str, bool]]:
    """What must hold after all."""
    mine, other = samples(alone), samples(out)
    counted = sum(spent["usage"]["started"] for sample in other for spent in sample["spent"])
    order = [(sample["task"], sample["place"], sample["repeat"]) for sample in other]
    heads = [line for line in (out / "traces.jsonl").read_bytes().splitlines() if line.startswith(b'{"kind":"sample"')]
    ids = [tuple(json.loads(line)[name] for name in ("task", "place", "repeat")) for line in heads]
    clocks = [json.loads(line) for line in (out / "times.jsonl").read_text().splitlines()]
    left = interrupted(out)
    return [
        ("samples.jsonl is the same to the byte", (alone / "samples.jsonl").read_bytes() == (out / "samples.jsonl").read_bytes()),
        ("problems.jsonl, run.json and summary.json are the same to the byte", all(
            (alone / name).read_bytes() == (out / name).read_bytes() for name in ("problems.jsonl", "run.json", "summary.json")
        )),
        ("every sample is there once", len(mine) == len(other) == len(set(order)) and order == sorted(order)),
        ("every sample has one trace and one line of clocks, in order", ids == order and len(clocks) == len(order)),
        (f"{len(asked)} calls at the server, {counted} counted, {left} runs told as interrupted",
         counted <= len(asked) <= counted + left),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--problems", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, serving(0.1) as server:
        folder = Path(place)
        task = write_task(folder / "sums.jsonl", arguments.problems)
        alone, out = folder / "alone", folder / "killed"
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command(server, task, alone, arguments.repeats), check=True, **quiet)
        server.seeds.clear()
        run = command(server, task, out, arguments.repeats)
        counts = killed(run, out, arguments.kills, 0.5, random.Random(arguments.seed))
        print(f"{len(counts)} kills; samples after each: {' '.join(map(str, counts))}")
        subprocess.run(run, check=True, **quiet)
        checks = compare(alone, out, server.seeds)
        shutil.rmtree(out)
    for what, held in checks:
        print(f"{'held  ' if held else 'BROKEN'} {what}")
    return 0 if all(held for _, held in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
