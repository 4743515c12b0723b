"""What an evaluation costs beyond the model: `k2 eval run` beside lm-eval and inspect_ai, against one mock server.

`python benchmarks/evaluate.py --lm-eval PYTHON --inspect PYTHON` takes interpreters with lm-eval 0.4.13 (its `api` extra) and
inspect_ai 0.3.285; without them only ours is measured. The same 400 problems, 64 connections, a server that answers after 2 ms.
In each round every contestant evaluates all problems and then one problem; the difference is what 399 samples take, free of
starting up, reading the data and writing the results' head. Ours is the whole command in fresh processes, scorer included, and
writes samples, traces, clocks and statistics; the peers run in a process that has imported and run them before, lm-eval
without traces. Figures are medians over the rounds, ratios are made within a round; processor time includes child processes.

`--flat 50000` instead runs so many samples through ours alone and prints the memory of its processes on the way.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from mock_server import serving

PIPELINE = """
[sampler]
use = "best-of-n"
n = 1
[decoders.solver]
use = "openai"
base_url = "{url}"
stream = false
"""


class Cost(NamedTuple):
    """What some samples took, in seconds."""

    wall: float
    cpu: float

    def beyond(self, other: Cost, samples: int) -> Cost:
        """A sample's share of what this took longer."""
        return Cost((self.wall - other.wall) / samples, (self.cpu - other.cpu) / samples)


Contestant = Callable[[int], Cost]
"""Evaluates so many problems."""


def problems(path: Path, count: int) -> Path:
    rows = ({"id": f"p{i}", "problem": f"Problem {i}: what is {i} - {i} + 42?", "answer": "42"} for i in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class Ours:
    """`k2 eval run` in fresh processes."""

    def __init__(self, url: str, data: Path, work: Path, connections: int) -> None:
        self._data, self._work, self._runs, self._connections = data, work, 0, connections
        (work / "pipeline.toml").write_text(PIPELINE.format(url=url), encoding="utf-8")

    def command(self, count: int, repeats: int = 1) -> list[str]:
        self._runs += 1
        out = self._work / f"run{self._runs}"
        command = [sys.executable, "-m", "k2core", "eval", "run", str(self._data), "--config", str(self._work / "pipeline.toml")]
        limits = ["--repeats", str(repeats), "--limit", str(count), "--concurrency", str(self._connections)]
        return [*command, "--out", str(out), *limits]

    def __call__(self, count: int) -> Cost:
        began, used = time.perf_counter(), _children()
        subprocess.run(self.command(count), check=True, capture_output=True)
        cost = Cost(time.perf_counter() - began, _children() - used)
        self.check(count)
        return cost

    def check(self, count: int) -> None:
        """Every sample is there, is right, and has its trace."""
        out = self._work / f"run{self._runs}"
        samples = [json.loads(line) for line in (out / "samples.jsonl").open("rb")]
        assert len(samples) == count
        assert all(sample["outcome"] == "correct" for sample in samples)
        assert (out / "traces.jsonl").read_bytes().count(b'"kind":"run_ended"') == count


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Peer:
    """A peer in a process that stays."""

    def __init__(self, python: str, name: str, url: str, data: Path, work: Path, connections: int) -> None:
        out = work / name
        out.mkdir()
        command = [python, str(Path(__file__).with_name("evaluate_peer.py")), name, url, str(data), str(out), str(connections)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        assert "ready" in self._read()
        self(1)  # so that what it imports on first use is there

    def _read(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a peer has ended; run benchmarks/evaluate_peer.py by itself to see why")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def __call__(self, count: int) -> Cost:
        assert self._process.stdin is not None
        print(count, file=self._process.stdin, flush=True)
        told = self._read()
        assert (told["samples"], told["accuracy"]) == (count, 1.0)
        return Cost(told["wall"], told["cpu"])

    def close(self) -> None:
        self._process.communicate()


def measured(contestants: Mapping[str, Contestant], rounds: int, count: int) -> dict[str, list[Cost]]:
    """What a sample takes, by contestant and round."""
    found: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, evaluate in contestants.items():
            found[name].append(evaluate(count).beyond(evaluate(1), count - 1))
    return found


def table(found: Mapping[str, list[Cost]]) -> None:
    ours = found["k2 eval run"]
    print(f"{'':<14}{'samples/s':>10}{'CPU ms':>9}{'ours/its rate':>16}{'ours/its CPU':>14}")
    for name, costs in found.items():
        rate, cpu = statistics.median(1 / c.wall for c in costs), statistics.median(c.cpu for c in costs)
        faster = statistics.median(c.wall / o.wall for c, o in zip(costs, ours, strict=True))
        cheaper = statistics.median(o.cpu / c.cpu for c, o in zip(costs, ours, strict=True))
        compared = f"{faster:>16.2f}{cheaper:>14.2f}" if costs is not ours else ""
        print(f"{name:<14}{rate:>10.0f}{cpu * 1e3:>9.2f}{compared}")


def flat(ours: Ours, samples: int) -> None:
    """Memory of all of the command's processes, as the samples grow in number."""
    repeats = -(-samples // 400)
    began = time.perf_counter()
    with subprocess.Popen(ours.command(400, repeats), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        file = Path(run.args[run.args.index("--out") + 1]) / "samples.jsonl"  # type: ignore[index,union-attr,arg-type] # it is our list
        due = 5000
        while run.poll() is None:
            time.sleep(0.05)
            done = _lines(file)
            if done >= due:
                due += 5000
                print(f"{done:>7} samples, {time.perf_counter() - began:6.1f} s, {' + '.join(_memory(run.pid))} MB", flush=True)
    print(f"exit status {run.returncode}, {time.perf_counter() - began:.1f} s, {_lines(file)} samples")


def _lines(file: Path) -> int:
    """About how many lines, from the size of the first: counting them would disturb."""
    try:
        with file.open("rb") as opened:
            first = len(opened.readline())
        return os.stat(file).st_size // max(first, 1) if first else 0
    except OSError:
        return 0


def _memory(pid: int) -> list[str]:
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return [f"{process.memory_info().rss / 1e6:.0f}" for process in family]
    except psutil.Error:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lm-eval", metavar="PYTHON", help="an interpreter with lm-eval")
    parser.add_argument("--inspect", metavar="PYTHON", help="an interpreter with inspect_ai")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.002, help="seconds the server takes (default: %(default)s)")
    parser.add_argument("--flat", type=int, metavar="SAMPLES", help="memory over so many samples instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(arguments.latency) as url, ExitStack() as stack:
        work = Path(folder)
        data = problems(work / "problems.jsonl", arguments.samples)
        ours = Ours(url, data, work, arguments.connections)
        if arguments.flat:
            flat(ours, arguments.flat)
            return
        contestants: dict[str, Contestant] = {"k2 eval run": ours}
        for name, python in (("lm-eval", arguments.lm_eval), ("inspect-ai", arguments.inspect)):
            if python:
                contestants[name] = peer = Peer(python, name, url, data, work, arguments.connections)
                stack.callback(peer.close)
        table(measured(contestants, arguments.rounds, arguments.samples))


if __name__ == "__main__":
    main()
