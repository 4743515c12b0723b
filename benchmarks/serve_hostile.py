"""`k2 serve` among bad clients, and under swaps: does anything fail, mix, leak, or get slow?

`python benchmarks/serve_hostile.py [--swapped 2000] [--hostile 10000] [--rate 100]`. Two parts, each with a server of
its own:

swaps     requests, in one piece and streamed, 16 at a time, while the pipeline is swapped every 50 ms over HTTP. Every version has
          a text of its own, which its back end repeats. Failures; answers whose text is not that of the version in their
          fingerprint; versions left; resident memory after the first fifth of the requests and at the end.
hostile   clients that vanish, stall, send slowly, too much, rubbish or bad UTF-8, and among them well-behaved ones, who were there
          before without the others: their latencies in both cases; calls in the ledger and at the mock server, which takes 10 ms:
          those that were started, without those that ended before anything was sent (`unsent`), must be those that arrived there;
          memory, connections and places left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
from aiohttp import web
from mock_server import serving

KEY = "sk-benchmark-benchmark-benchmark"
AUTH = {"authorization": f"Bearer {KEY}"}
PIPELINE = """
[sampler]
use = "single"
instructions = false
system = "{system}"
[decoders.solver]
use = "openai"
base_url = "{url}"
model = "{system}"
"""
SETTINGS = """
page = false
[models.m]
config = "m.toml"
[keys.k]
env = "BENCHMARK_KEY"
admin = true
[limits]
running = 64
queued = 2000
head_seconds = 2
body_seconds = 2
stall_seconds = 2
"""


class Server:
    """The process and its address."""

    def __init__(self, process: psutil.Process, url: str) -> None:
        self.process, self.url = process, url
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 0)

    @property
    def memory(self) -> float:
        """Megabytes."""
        return float(self.process.memory_info().rss / 2**20)


@contextmanager
def served(upstream: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.toml").write_text(PIPELINE.format(url=upstream, system="0"))
        Path(folder, "serve.toml").write_text(SETTINGS)
        command = [sys.executable, "-m", "k2core", "serve", "--serve", f"{folder}/serve.toml", "--port", "0", "--log", "error"]
        env = {**os.environ, "BENCHMARK_KEY": KEY}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as child:
            assert child.stdout is not None
            try:
                yield Server(psutil.Process(child.pid), child.stdout.readline().rpartition(" ")[2].strip().removesuffix("/v1"))
            finally:
                child.terminate()


def body(stream: bool = False, text: str = "What is 6 times 7?") -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}


# swaps


async def echo(request: web.Request) -> web.Response:
    """A chat server that says what its system prompt says."""
    text = (await request.json())["messages"][0]["content"]
    events = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}]
    return web.Response(body=b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(events[0]).encode(), content_type="text/event-stream")


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """That server; yields its base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def swaps(server: Server, count: int) -> Counter[str]:
    async with echoing() as upstream:
        return await swapped(server, upstream, count)


async def swapped(server: Server, upstream: str, count: int) -> Counter[str]:
    told: Counter[str] = Counter()
    names: dict[str, str] = {}
    """Fingerprint to the version's name, as the swap's answer said."""
    seen: list[tuple[str, str]] = []
    """Fingerprints and texts of answers."""
    done = asyncio.Event()
    async with aiohttp.ClientSession(headers=AUTH) as session:

        async def swap() -> None:
            while not done.is_set():
                told["swaps"] += 1
                name = str(told["swaps"])
                async with session.post(f"{server.url}/admin/pipelines", json=made_of(upstream, name)) as answer:
                    data = await answer.json()
                    names[f"fp_{data['version']}"] = name
                await asyncio.sleep(0.05)

        async def ask(number: int) -> None:
            try:
                async with session.post(f"{server.url}/v1/chat/completions", json=body(bool(number % 2))) as answer:
                    text = await answer.text()
                    told["failed"] += answer.status != 200 or '"error"' in text
            except aiohttp.ClientError:
                told["failed"] += 1
                return
            parts = [
                json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.removeprefix("data: ")[:1] == "{"
            ]
            text = "".join(text for part in parts for text in _texts(part))
            seen.extend((fingerprint, text) for fingerprint in {part["system_fingerprint"] for part in parts})

        async with session.post(f"{server.url}/admin/pipelines", json=made_of(upstream, "0")) as answer:
            names[f"fp_{(await answer.json())['version']}"] = "0"
        swapping, early, numbers = asyncio.create_task(swap()), 0.0, iter(range(count))

        async def worker() -> None:
            nonlocal early
            for number in numbers:
                await ask(number)
                if number == count // 5:
                    early = server.memory

        await asyncio.gather(*(worker() for _ in range(16)))
        done.set()
        await swapping
        await asyncio.sleep(1)
        async with session.get(f"{server.url}/admin/pipelines") as answer:
            told["versions left"] = (await answer.json())["retiring"]
    told["answers"] = len(seen)
    told["versions that answered"] = len({fingerprint for fingerprint, _ in seen})
    told["answers of mixed versions"] = sum(names.get(fingerprint) != text for fingerprint, text in seen)
    told["memory MB early"], told["memory MB end"] = round(early), round(server.memory)
    return told


def made_of(upstream: str, name: str) -> dict[str, str]:
    return {"name": "m", "toml": PIPELINE.format(url=upstream, system=name)}


def _texts(part: dict[str, Any]) -> Iterator[str]:
    for choice in part["choices"]:
        yield (choice.get("delta") or choice.get("message") or {}).get("content") or ""


# bad clients


class Hostile:
    """Clients of every bad kind."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        self._server, self._dice = server, dice
        self.kinds = {
            "vanishes": self.vanishes,
            "resets in a stream": self.resets,
            "rubbish": self.rubbish,
            "bad UTF-8": self.bad_text,
            "10 MB": self.large,
            "slow head": self.slow_head,
            "slow body": self.slow_body,
            "no HTTP": self.no_http,
            "half a body": self.half,
        }

    async def one(self) -> str:
        kind = self._dice.choices(list(self.kinds), (30, 30, 10, 10, 1, 1, 1, 9, 8))[0]
        with suppress(OSError, asyncio.IncompleteReadError):
            await self.kinds[kind]()
        return kind

    async def _open(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._server.host, self._server.port)
        writer.write(data)
        return reader, writer

    def _request(self, data: bytes, declared: int | None = None) -> bytes:
        size = len(data) if declared is None else declared
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self._server.host}\r\nAuthorization: Bearer {KEY}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode() + data

    async def _until_closed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(20):
            await reader.read()
        writer.close()

    async def vanishes(self) -> None:
        _, writer = await self._open(self._request(json.dumps(body()).encode()))
        await asyncio.sleep(self._dice.uniform(0, 0.02))
        writer.close()

    async def resets(self) -> None:
        reader, writer = await self._open(self._request(json.dumps(body(True)).encode()))
        await reader.read(self._dice.choice((1, 100, 400)))
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async def rubbish(self) -> None:
        data = self._dice.choice((b"{", b"[[[", b"null", b'{"model": 3}', b'{"model": "m", "messages": [{}]}'))
        reader, writer = await self._open(self._request(data))
        await reader.read(100)
        writer.close()

    async def bad_text(self) -> None:
        reader, writer = await self._open(self._request(b'{"model": "\xff\xfe"}'))
        await reader.read(100)
        writer.close()

    async def large(self) -> None:
        reader, writer = await self._open(self._request(b"m" * 10_000_000))
        await reader.read(100)
        writer.close()

    async def slow_head(self) -> None:
        await self._until_closed(*await self._open(b"POST /v1/chat/comp"))

    async def slow_body(self) -> None:
        await self._until_closed(*await self._open(self._request(b'{"mod', 1000)))

    async def no_http(self) -> None:
        await self._until_closed(*await self._open(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"))

    async def half(self) -> None:
        _, writer = await self._open(self._request(b'{"model": "m"', 500))
        writer.close()


async def well_behaved(url: str, until: asyncio.Event, seconds: list[float]) -> None:
    async with aiohttp.ClientSession(headers=AUTH) as session:
        number = 0
        while not until.is_set():
            number += 1
            began = time.perf_counter()
            async with session.post(f"{url}/v1/chat/completions", json=body(bool(number % 2))) as answer:
                text = await answer.text()
            seconds.append(-1 if answer.status != 200 or '"error"' in text else time.perf_counter() - began)
            await asyncio.sleep(0.02)


async def good(url: str) -> None:
    """Well-behaved clients, as a process of their own: until standard input ends; prints their seconds, -1 for a failure."""
    seconds: list[float] = []
    end = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, end.set)
    await asyncio.gather(*(well_behaved(url, end, seconds) for _ in range(4)))
    print(json.dumps(seconds))


@contextmanager
def among(server: Server, seconds: list[float]) -> Iterator[None]:
    """Well-behaved clients within the block."""
    command = [sys.executable, __file__, "--good", server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield
        seconds += json.loads(child.communicate()[0])


async def hostile(server: Server, upstream: str, count: int, rate: float) -> dict[str, Any]:
    quiet, loud = list[float](), list[float]()
    with among(server, quiet):
        await asyncio.sleep(15)
    clients, kinds, early = Hostile(server, random.Random(1)), Counter[str](), 0.0
    with among(server, loud):
        began, attacks = time.perf_counter(), set[asyncio.Task[str]]()
        for number in range(count):
            attacks.add(attack := asyncio.create_task(clients.one()))
            attack.add_done_callback(attacks.discard)
            attack.add_done_callback(lambda done: kinds.update([done.result()]))
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            if number == count // 5:
                early = server.memory
        await asyncio.gather(*attacks)
    await asyncio.sleep(3)
    async with aiohttp.ClientSession(headers=AUTH) as session:
        async with session.get(f"{server.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        async with session.get(f"{upstream.removesuffix('/v1')}/stats") as answer:
            counts = await answer.json()
    calls = [(line, float(line.split()[-1])) for line in lines if line.startswith("k2core_calls_total")]
    outcomes = ("started", "served", "cancelled", "failed", "unsent")
    ledger = {name: sum(value for line, value in calls if f'"{name}"' in line) for name in outcomes}
    connections = server.process.net_connections("tcp")
    return {
        "clients": dict(kinds),
        "bad clients a second": round(count / (time.perf_counter() - began)),
        "well-behaved": (len(quiet), len(loud)),
        "of these failed": sum(value < 0 for value in quiet + loud),
        "p50 ms quiet, among them": (_ms(quiet, 0.5), _ms(loud, 0.5)),
        "p99 ms quiet, among them": (_ms(quiet, 0.99), _ms(loud, 0.99)),
        "ledger": ledger,
        "mock server": counts,
        "sent by us, arrived there": (ledger["started"] - ledger["unsent"], counts["arrived"]),
        "memory MB early, end": (round(early), round(server.memory)),
        "connections left": sum(c.status == "ESTABLISHED" and c.laddr.port == server.port for c in connections),
        "in flight": [line for line in lines if line.startswith(("k2core_requests_in_flight ", "k2core_requests_running "))],
    }


def _ms(seconds: list[float], share: float) -> float:
    return round(1000 * statistics.quantiles(seconds, n=100)[round(share * 100) - 1], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--swapped", type=int, default=2000, help="requests under swaps (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=100, help="bad clients a second (default: %(default)s)")
    parser.add_argument("--good", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--hostile", type=int, default=10_000, help="bad clients (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.good:
        return asyncio.run(good(arguments.good))
    with ExitStack() as stack:
        upstream = stack.enter_context(serving(0.01))
        if arguments.swapped:
            server = stack.enter_context(served(upstream))
            told("swaps", asyncio.run(swaps(server, arguments.swapped)))
        if arguments.hostile:
            server = stack.enter_context(served(upstream))
            told("hostile", asyncio.run(hostile(server, upstream, arguments.hostile, arguments.rate)))


def told(name: str, found: Mapping[str, Any]) -> None:
    for what, value in found.items():
        print(f"{name:<9}{what:<28}{value}", flush=True)


if __name__ == "__main__":
    main()
