"""What `k2 serve` costs: a pass-through pipeline against the bare upstream, and optillm, in one interleaved run.

`python benchmarks/serve.py [--optillm PYTHON] [--seconds 3] [--rounds 3] [--latency 0.002]`: PYTHON is an interpreter that
has optillm 0.4.0 installed; without it only the bare upstream and ours are measured. Every server is a process of its own in
front of one mock server; every arm has its turn in every round, at concurrency 1, 16 and 64, in one piece and streamed. The client
keeps its connections. Columns: requests a second, median and 99th percentile of the latency (ms), the same two of the time to the
first event of a stream (ms), CPU time of the arm's process a request (ms; for the bare arm the mock server's own). Medians over the
rounds.

With `--its-hub PYTHON` it measures best of 8 by votes in its place, beside its_hub's gateway: see `serve_its_hub.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from mock_server import serving

PIPELINE = """
[sampler]
use = "single"
instructions = false
[decoders.solver]
use = "openai"
base_url = "{url}"
"""


@dataclass
class Arm:
    """A server to be measured."""

    name: str
    url: str
    model: str
    process: psutil.Process | None = None
    streams: bool = True


@dataclass
class Load:
    """What one client saw."""

    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    failed: int = 0


class Client(asyncio.Protocol):
    """One client that asks again as soon as it has been answered, on the same connection if the server keeps it."""

    def __init__(self, arm: Arm, stream: bool, until: float, load: Load) -> None:
        self._arm, parts = arm, urlsplit(arm.url)
        body = {"model": arm.model, "messages": [{"role": "user", "content": "What is 6 times 7?"}], "stream": stream}
        data = json.dumps(body).encode()
        head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer none\r\n"
        self._request = f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
        self._stream, self._until, self._load = stream, until, load
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._data, self._first, self._began = b"", 0.0, time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        if self._stream and not self._first and b"data:" in body:
            self._first = time.perf_counter() - self._began
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            whole = body.endswith(b"0\r\n\r\n")
        else:
            whole = len(body) >= int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
        if whole:
            self._answered(head, body)

    def _answered(self, head: bytes, body: bytes) -> None:
        if b" 200 " in head[:20] and b"boxed{42}" in body and b'"error"' not in body:
            self._load.seconds.append(time.perf_counter() - self._began)
            self._load.first.append(self._first)
        else:
            self._load.failed += 1
        if time.perf_counter() < self._until and b"connection: close" not in head.lower() and head.startswith(b"HTTP/1.1"):
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self._until:
            self._connecting = asyncio.ensure_future(self.connect())
        elif not self.done.done():
            self.done.set_result(None)

    async def connect(self) -> None:
        parts = urlsplit(self._arm.url)
        await asyncio.get_running_loop().create_connection(lambda: self, parts.hostname, parts.port)


async def loaded(arm: Arm, concurrency: int, stream: bool, seconds: float) -> tuple[Load, float, float]:
    """The load, the seconds it took, and the CPU seconds that the arm's process took."""
    load = Load()
    before, began = cpu(arm), time.perf_counter()
    clients = [Client(arm, stream, began + seconds, load) for _ in range(concurrency)]
    await asyncio.gather(*(client.connect() for client in clients))
    await asyncio.gather(*(client.done for client in clients))
    return load, time.perf_counter() - began, cpu(arm) - before


def cpu(arm: Arm) -> float:
    """User and system seconds of the process and its children."""
    if arm.process is None:
        return 0.0
    several = [arm.process, *arm.process.children(recursive=True)]
    return sum(times.user + times.system for times in (one.cpu_times() for one in several))


@contextmanager
def ours(upstream: str, log: str, *options: str, pipeline: str = PIPELINE) -> Iterator[Arm]:
    """`k2 serve`, by default with a pipeline that passes through."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mock.toml")
        file.write_text(pipeline.format(url=upstream))
        command = [sys.executable, "-m", "k2core", "serve", "--config", str(file), "--port", "0", "--log", log, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout is not None
            try:
                url = server.stdout.readline().rpartition(" ")[2].strip()
                yield Arm("k2 serve", url, "mock", psutil.Process(server.pid))
            finally:
                server.terminate()


@contextmanager
def optillm(python: str, upstream: str) -> Iterator[Arm]:
    """optillm, passing through by its approach `none`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        python,
        "-c",
        "from optillm import main; main()",
        "--port",
        str(port),
        "--base-url",
        upstream,
        "--approach",
        "none",
        "--model",
        "mock",
    ]
    env = {**os.environ, "OPENAI_API_KEY": "none"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as server:
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
                    break
                except OSError:
                    time.sleep(0.2)
            yield Arm("optillm", f"http://127.0.0.1:{port}/v1", "mock", psutil.Process(server.pid), streams=False)
        finally:
            server.terminate()


Row = dict[str, float]


async def turn(arm: Arm, concurrency: int, stream: bool, seconds: float) -> Row:
    load, took, used = await loaded(arm, concurrency, stream, seconds)
    count = len(load.seconds) or 1
    row = {"req/s": len(load.seconds) / took, "failed": float(load.failed), "CPU ms": 1000 * used / count}
    for name, values in (("", load.seconds), ("first ", load.first if stream else ())):
        if values:
            row[f"{name}p50 ms"] = 1000 * statistics.median(values)
            row[f"{name}p99 ms"] = 1000 * sorted(values)[int(0.99 * (len(values) - 1))]
    return row


async def measure(arms: Sequence[Arm], seconds: float, rounds: int) -> None:
    """Every arm has its turn in every round, in another order; the first round only warms up."""
    rows: dict[tuple[str, int, bool], list[Row]] = defaultdict(list)
    for place in range(rounds + 1):
        for stream in (False, True):
            for concurrency in (1, 16, 64):
                for arm in [*arms[place % len(arms) :], *arms[: place % len(arms)]]:
                    if arm.streams or not stream:
                        row = await turn(arm, concurrency, stream, seconds if place else min(1.0, seconds))
                        if place:
                            rows[arm.name, concurrency, stream].append(row)
    print_table(rows)


COLUMNS = ("req/s", "p50 ms", "p99 ms", "first p50 ms", "first p99 ms", "CPU ms", "failed")


def print_table(rows: dict[tuple[str, int, bool], list[Row]]) -> None:
    print(f"{'arm':<10} {'at once':>7} {'form':<8}" + "".join(f"{name:>14}" for name in COLUMNS))
    for (name, concurrency, stream), several in rows.items():
        medians = [statistics.median([row[c] for row in several]) if c in several[0] else float("nan") for c in COLUMNS]
        cells = "".join(f"{'—' if value != value else f'{value:.2f}':>14}" for value in medians)
        print(f"{name:<10} {concurrency:>7} {'stream' if stream else 'whole':<8}{cells}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--optillm", metavar="PYTHON", help="an interpreter with optillm 0.4.0")
    parser.add_argument("--its-hub", metavar="PYTHON", help="an interpreter with its_hub[iaas] 1.2.0: measure best of 8 beside it")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.002, help="of the upstream, in seconds (default: %(default)s)")
    parser.add_argument("--log", default="info", help="level of our log (default: %(default)s)")
    parser.add_argument("--store", metavar="FILE", help="serve.toml for ours, such as one with a store")
    arguments = parser.parse_args()
    if arguments.its_hub:
        from serve_its_hub import best_of

        return best_of(arguments.its_hub, arguments.latency, arguments.seconds, arguments.rounds, arguments.log)
    with ExitStack() as stack:
        upstream = stack.enter_context(serving(arguments.latency))
        options = ("--serve", arguments.store) if arguments.store else ()
        mock = next(child for child in psutil.Process().children() if "mock_server.py" in " ".join(child.cmdline()))
        arms = [Arm("bare", upstream, "mock", mock), stack.enter_context(ours(upstream, arguments.log, *options))]
        if arguments.optillm:
            arms.append(stack.enter_context(optillm(arguments.optillm, upstream)))
        asyncio.run(measure(arms, arguments.seconds, arguments.rounds))


if __name__ == "__main__":
    main()
