"""The part of `serve.py --its-hub PYTHON`: best of 8 by votes, `k2 serve` beside its_hub's gateway, over one mock server.

PYTHON has `its_hub[iaas]` 1.2.0 installed. A gateway knows one algorithm, so each gets a gateway of its own; one that the installed
version refuses is named and left out (1.2.0 knows self-consistency only). Ours are the samplers `adaptive`, which stops and
cancels what cannot change the decision, and `majority`. Both ask the mock server for streams, as they do by default and the gateway
does not; `adaptive` has a second arm without. The mock server lets every 4th request take eight times as long, and answers 42, 42,
42, 7 in turn; an answer other than 42 counts as failed. Every arm has its turn in every round, in another order; the first round
only warms up. Columns: requests a second, median and 99th percentile of the latency (ms), CPU time of the arm's processes a request
(ms), calls that the mock server has started a request, and how many of them it saw aborted. Medians over the rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
from mock_server import serving
from serve import Arm, Row, loaded, ours

VOTES = 8
PIPELINE = """
[sampler]
use = "{sampler}"
n = 8
instructions = false
[verifiers.math]
[decoders.solver]
use = "openai"
base_url = "{{url}}"
stream = {stream}
"""
OURS = {"adaptive": ("adaptive", "true"), "majority": ("majority", "true"), "adaptive, no streams": ("adaptive", "false")}
"""Sampler, and whether it asks for streams, by name."""
THEIRS = ("self-consistency", "adaptive-self-consistency", "beta-self-consistency")
AT_ONCE = (1, 16)
COLUMNS = ("req/s", "p50 ms", "p99 ms", "CPU ms", "calls", "aborted", "failed")


@contextmanager
def gateway(python: str, upstream: str, algorithm: str) -> Iterator[Arm | None]:
    """its_hub's gateway with an algorithm; None, and a line that says why, where it does not take it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-m", "its_hub.integration.iaas.app_server", "--port", str(port), "--log-level", "ERROR"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ}) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/v1/models", server)
            table = {"endpoint": upstream, "api_key": "none", "model": "mock", "alg": algorithm, "budget": VOTES}
            refused = _post(f"{url}/configure", {**table, "regex_patterns": [r"\\boxed\{([^}]+)\}"]})
            if refused:
                print(f"its_hub refuses {algorithm}: {refused}")
            yield None if refused else Arm(f"its_hub {algorithm}", f"{url}/v1", "mock", psutil.Process(server.pid))
        finally:
            server.terminate()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"its_hub's gateway has ended with status {server.returncode}; does PYTHON have its_hub[iaas]?")
        try:
            urllib.request.urlopen(url)
            return
        except urllib.error.HTTPError:  # it answers, whatever it says before it is configured
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("its_hub's gateway did not start within two minutes")


def _post(url: str, data: dict[str, Any]) -> str:
    """Why it was refused; empty when it was taken."""
    request = urllib.request.Request(url, json.dumps(data).encode(), {"content-type": "application/json"})
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode(errors='replace')[:200]}"
    return ""


def counts(upstream: str) -> dict[str, int]:
    """What the mock server has counted since the last time."""
    with urllib.request.urlopen(f"{upstream.removesuffix('/v1')}/stats?reset=1") as reply:
        found: dict[str, int] = json.load(reply)
    return found


async def turn(arm: Arm, upstream: str, concurrency: int, seconds: float) -> Row:
    await asyncio.to_thread(counts, upstream)
    load, took, used = await loaded(arm, concurrency, False, seconds)
    await asyncio.sleep(0.5)  # the server hears of the last broken connections
    seen, answered = await asyncio.to_thread(counts, upstream), len(load.seconds) + load.failed or 1
    row = {"req/s": len(load.seconds) / took, "CPU ms": 1000 * used / answered, "failed": float(load.failed)}
    row |= {"calls": seen["started"] / answered, "aborted": seen["aborted"] / answered}
    if load.seconds:
        row["p50 ms"] = 1000 * statistics.median(load.seconds)
        row["p99 ms"] = 1000 * sorted(load.seconds)[int(0.99 * (len(load.seconds) - 1))]
    return row


async def measure(arms: Sequence[Arm], upstream: str, seconds: float, rounds: int) -> None:
    rows: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for place in range(rounds + 1):
        for concurrency in AT_ONCE:
            for arm in [*arms[place % len(arms) :], *arms[: place % len(arms)]]:
                row = await turn(arm, upstream, concurrency, seconds if place else min(1.0, seconds))
                if place:
                    rows[arm.name, concurrency].append(row)
    print(f"{'arm':<34} {'at once':>7}" + "".join(f"{name:>12}" for name in COLUMNS))
    for (name, concurrency), several in rows.items():
        medians = [statistics.median([row.get(c, float("nan")) for row in several]) for c in COLUMNS]
        cells = "".join(f"{'—' if value != value else f'{value:.2f}':>12}" for value in medians)
        print(f"{name:<34} {concurrency:>7}{cells}")


def best_of(python: str, latency: float, seconds: float, rounds: int, log: str) -> None:
    """The whole measurement."""
    with ExitStack() as stack:
        upstream = stack.enter_context(serving(latency, "--slow-every", "4", "--answers", "42,42,42,7"))
        arms = []
        for name, (sampler, stream) in OURS.items():
            arm = stack.enter_context(ours(upstream, log, pipeline=PIPELINE.format(sampler=sampler, stream=stream)))
            arms.append(Arm(f"k2 serve {name}", arm.url, arm.model, arm.process))
        found = [stack.enter_context(gateway(python, upstream, algorithm)) for algorithm in THEIRS]
        asyncio.run(measure([*arms, *filter(None, found)], upstream, seconds, rounds))
