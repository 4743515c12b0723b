"""Killed, terminated, cut off from its server or its scorer, and started again: nothing is lost, nothing is there twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluations import benchmark, k2, lines, pipeline, samples, settings, sums
from k2core_eval.running.evaluate import evaluate
from k2core_eval.running.gate import Gate, OutOfPatience

kills = benchmark("kills")

QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def server() -> Iterator[Any]:
    with kills.serving(0.02) as running:
        yield running


def test_killed_again_and_again_it_ends_with_the_same_files(tmp_path: Path, server: Any) -> None:
    task = kills.write_task(tmp_path / "sums.jsonl", 40)
    alone, out = tmp_path / "alone", tmp_path / "killed"
    subprocess.run(kills.command(server, task, alone, 4), check=True, **QUIET)
    server.seeds.clear()
    run = kills.command(server, task, out, 4)
    kills.killed(run, out, 2, 0.2, random.Random(os.urandom(8)))
    subprocess.run(run, check=True, **QUIET)
    assert [(what, held) for what, held in kills.compare(alone, out, server.seeds) if not held] == []


def test_a_termination_is_settled_and_told(tmp_path: Path) -> None:
    arguments = ["--config", pipeline(tmp_path, 40, delay=0.02), "--out", tmp_path / "out", "--concurrency", 2]
    command = [sys.executable, "-m", "k2core", "eval", "run", *map(str, [sums(tmp_path / "sums.jsonl", 40), *arguments])]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(kills.samples(tmp_path / "out")) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped; the same command goes on from here" in said
    noted = lines(tmp_path / "out", "attempts.jsonl")
    done = len(samples(tmp_path / "out"))
    kinds = [line["kind"] for line in noted]
    assert kinds.count("started") == done + kinds.count("cancelled")
    assert noted[-1]["kind"] == "ended"
    assert noted[-1]["abandoned"]
    again = k2(tmp_path / "sums.jsonl", *arguments)
    assert again.returncode == 0
    assert "interrupted" not in again.stderr
    assert len(samples(tmp_path / "out")) == 40


def test_another_evaluation_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    task, config = sums(tmp_path / "sums.jsonl"), pipeline(tmp_path)
    assert k2(task, "--config", config, "--out", tmp_path / "out").returncode == 0
    change = ["--set", "sampler.n=2", "--repeats", 2, "--limit", 2, "--seed", 1]
    done = k2(task, "--config", config, "--out", tmp_path / "out", *change)
    assert done.returncode == 2
    told = ("config.sampler.n was 3 and is now 2", f"tasks.{task}.repeats was 1 and is now 2", "seed was 0 and is now 1")
    assert all(one in done.stderr for one in (*told, f"tasks.{task}.problems was 6 and is now 2"))
    assert len(samples(tmp_path / "out")) == 6


def test_two_processes_never_write_one_folder(tmp_path: Path) -> None:
    arguments = ["--config", pipeline(tmp_path, 6, delay=0.15), "--out", tmp_path / "out", "--concurrency", 1]
    command = [sys.executable, "-m", "k2core", "eval", "run", *map(str, [sums(tmp_path / "sums.jsonl"), *arguments])]
    with subprocess.Popen(command, **QUIET) as first:
        until = time.monotonic() + 60
        while not kills.samples(tmp_path / "out") and time.monotonic() < until:
            time.sleep(0.02)
        second = k2(tmp_path / "sums.jsonl", *arguments)
        assert first.poll() is None
        assert second.returncode == 2
        assert f"is being written by another evaluation (process {first.pid})" in second.stderr
        assert first.wait(60) == 0
    assert len(samples(tmp_path / "out")) == 6


def test_a_scorer_that_is_killed_is_replaced(tmp_path: Path, server: Any) -> None:
    task = kills.write_task(tmp_path / "sums.jsonl", 40)
    out, alone = tmp_path / "out", tmp_path / "alone"
    subprocess.run(kills.command(server, task, alone, 3), check=True, **QUIET)
    run = subprocess.Popen(kills.command(server, task, out, 3), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for enough in (5, 60):
        until = time.monotonic() + 60
        while len(kills.samples(out)) < enough and time.monotonic() < until:
            time.sleep(0.01)
        [scorer] = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.kill(int(scorer), signal.SIGKILL)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert said.count("the scorer died (signal 9); another takes over") == 2
    assert (out / "samples.jsonl").read_bytes() == (alone / "samples.jsonl").read_bytes()
    assert len(lines(out, "times.jsonl")) == 120


def http(server: Any, task: Path, out: Path, **more: Any) -> Any:
    decoder = {"use": "openai", "base_url": server.url, "stream": False}
    config = {"sampler": {"use": "single"}, "decoders": {"solver": decoder}, "retry": {"base": 0.01, "attempts": 2}}
    return settings([task], out, config, **{"concurrency": 4, **more})


def test_a_server_that_goes_down_and_comes_back_costs_no_sample(tmp_path: Path, server: Any) -> None:
    task = kills.write_task(tmp_path / "sums.jsonl", 30)

    def interrupt() -> None:
        while len(server.seeds) < 20:
            time.sleep(0.01)
        server.down = True
        time.sleep(1.5)
        server.down = False

    thread = threading.Thread(target=interrupt)
    thread.start()
    ended = asyncio.run(evaluate(http(server, task, tmp_path / "out", repeats=2)))
    thread.join()
    assert (ended.complete, ended.failed, ended.trouble) == (True, 0, "")
    found = samples(tmp_path / "out")
    assert len({sample.id for sample in found}) == len(found) == 60
    assert {sample.outcome for sample in found} == {"correct", "incorrect"}
    failed = [line for line in lines(tmp_path / "out", "attempts.jsonl") if line["kind"] == "failed"]
    assert failed
    assert all("503" in line["error"] and line["spent"][0]["usage"]["failed"] == 2 for line in failed)
    assert len(set(server.seeds)) == len(server.seeds) == 60  # each answered once


def test_out_of_patience_it_ends_and_tries_only_those_again(tmp_path: Path, server: Any) -> None:
    task = kills.write_task(tmp_path / "sums.jsonl", 30)
    half = http(server, task, tmp_path / "out", repeats=1, patience=1.0)
    asyncio.run(evaluate(http(server, task, tmp_path / "out", patience=1.0, probe=10)))
    server.down = True
    ended = asyncio.run(evaluate(half))
    assert not ended.complete
    assert "nothing has succeeded for 1 s" in ended.trouble
    assert 0 < ended.failed < 20
    failed = [sample for sample in samples(tmp_path / "out") if sample.outcome == "infrastructure"]
    assert all("503" in sample.error for sample in failed)
    server.down = False
    asked = len(server.seeds)
    again = asyncio.run(evaluate(half))
    assert (again.complete, again.failed) == (True, 0)
    assert len(server.seeds) - asked == 20
    ids = [sample.id for sample in samples(tmp_path / "out")]
    assert len(ids) == 30
    assert ids == sorted(ids)


def test_a_folder_that_is_removed_meanwhile_stops_it(tmp_path: Path, server: Any) -> None:
    task = kills.write_task(tmp_path / "sums.jsonl", 400)
    command = kills.command(server, task, tmp_path / "out", 4)
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not kills.samples(tmp_path / "out") and time.monotonic() < until:
        time.sleep(0.02)
    (tmp_path / "out").rename(tmp_path / "moved")
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "has been removed or replaced" in said
    for line in (tmp_path / "moved" / "samples.jsonl").read_bytes().splitlines():
        json.loads(line)


def gate(patience: float) -> tuple[Gate, list[str]]:
    told: list[str] = []
    return Gate(2, patience, told.append, first=0.01), told


def test_the_gate_lets_one_through_at_a_time_while_nothing_works() -> None:
    async def work() -> tuple[int, list[str]]:
        made, told = gate(60.0)
        inside = most = 0

        async def attempt(number: int) -> None:
            nonlocal inside, most
            async with made.passing():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1
                made.failed("down") if number < 3 else made.succeeded()

        made.failed("down")
        made.failed("down")
        await asyncio.gather(*(attempt(number) for number in range(6)))
        return most, told

    most, told = asyncio.run(work())
    assert most <= 3  # one while it is closed, then those that were waiting
    assert told == ["down; waiting, at most 60 s", "it works again"]


def test_patience_ends() -> None:
    async def work() -> None:
        made, _ = gate(0.1)
        made.failed("down")
        made.failed("still down")
        while True:
            async with made.passing():
                made.failed("still down")

    with pytest.raises(OutOfPatience, match=r"nothing has succeeded for 0\.1 s: still down"):
        asyncio.run(work())
