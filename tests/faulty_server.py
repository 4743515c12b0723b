"""A chat server that fails in every way a server can, keeps its own books, and a clock that leaves no room for races.

The server draws the fate of each request from a seeded generator. The books say what it did: requests started, answered in full,
failed, or left by the client, and the completion tokens it sent for each.

Client and server share one event loop, with real sockets between them, but time is stepped: it jumps to the next timer only when
no byte is on its way and nothing is left to do. Everything the server sends follows a pause of its own random length. So no
two actions fall into one instant, each is seen by the other side before the next happens, and a stall costs no real time. The
exception is on purpose: a cut cancels the client in the very turn of the loop in which the server has written tokens, so that
they are in the socket when the client is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import selectors
import socket
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 3.0
"""Seconds of silence, in stepped time, after which the client gives up: its `first_timeout` and `idle_timeout`."""

FATES = {
    "served": 50,
    "served in one piece": 8,
    "refused": 12,
    "stalled": 8,
    "truncated": 6,
    "reset": 6,
    "broken JSON": 3,
    "error event": 3,
    "too few choices": 2,
    "cut": 8,
}
"""What may happen to a request, and how often."""


class SteppedSelector(selectors.DefaultSelector):
    """Waits for no timer: when the sockets are quiet, it moves the clock instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        time.sleep(20e-6)  # lets the operating system deliver what has been sent, should it do so from a thread of its own
        ready = super().select(0)
        if ready or timeout is None:
            return ready or super().select(10)
        self.now += timeout
        return []


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while there is anything to do."""

    def __init__(self) -> None:
        self._stepped = SteppedSelector()
        super().__init__(self._stepped)

    def time(self) -> float:
        return self._stepped.now


@dataclass
class Entry:
    """One request in the server's books."""

    fate: str
    outcome: str = "in flight"
    tokens: int = 0


@dataclass
class Books:
    """Requests by the run they belong to."""

    runs: dict[int, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def of(self, run: int) -> Counter[str]:
        """Counts in the words of the kernel's ledger."""
        entries = self.runs.get(run, [])
        count = Counter(entry.outcome for entry in entries)
        return Counter({**count, "started": len(entries), "completion_tokens": sum(e.tokens for e in entries)})

    def fates(self) -> Counter[str]:
        return Counter(f"{entry.fate}: {entry.outcome}" for entries in self.runs.values() for entry in entries)


class FaultyServer:
    """`async with FaultyServer(seed, cut)`: `cut(run)` must cancel that run's client at once."""

    def __init__(self, seed: int, cut: Callable[[int], None]) -> None:
        self.books = Books()
        self.seed, self.cut = seed, cut
        self.connections: set[Connection] = set()

    async def __aenter__(self) -> FaultyServer:
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.wire.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0.01)  # which passes once all has been closed


class Connection(asyncio.Protocol):
    """Reads requests one by one; each is answered by an `Answer` in a task, which ends when the client goes."""

    def __init__(self, server: FaultyServer) -> None:
        self._server, self._input = server, b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.wire = transport
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._input += data
        head, end, rest = self._input.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if end and length and len(rest) >= int(length[1]):
            self._input = rest[int(length[1]) :]
            self._task = asyncio.ensure_future(Answer(self._server, self.wire, json.loads(rest[: int(length[1])])).give())

    def connection_lost(self, error: Exception | None) -> None:
        if self._task:
            self._task.cancel()
        self._server.connections.discard(self)


class Answer:
    """The answer to one request, as its fate wants it."""

    def __init__(self, server: FaultyServer, wire: asyncio.Transport, body: Any) -> None:
        self._server, self._wire, self._n = server, wire, body["n"]
        self._run = int(body["messages"][-1]["content"].split()[1])
        entries = server.books.runs[self._run]
        self._rng = random.Random(f"{server.seed}/{self._run}/{len(entries)}")
        fate = self._rng.choices(list(FATES), list(FATES.values()))[0]
        self._entry = Entry("served" if fate == "too few choices" and self._n == 1 else fate)
        entries.append(self._entry)
        self._usage = self._rng.choice(["none", "last", "always"])
        self._last_sent = asyncio.get_running_loop().time()

    async def give(self) -> None:
        """Meet the fate, and book what came of it; a client that goes early is booked by when it went."""
        try:
            await self._meet()
        except asyncio.CancelledError:
            if self._entry.outcome == "in flight":
                silence = asyncio.get_running_loop().time() - self._last_sent
                self._entry.outcome = "failed" if silence > PATIENCE - 1e-6 else "cancelled"
            raise

    async def _meet(self) -> None:
        fate, tokens = self._entry.fate, self._rng.randint(0, 12)
        if fate == "refused":
            return await self._refuse()
        if fate == "served in one piece":
            return await self._send_whole(tokens)
        if fate == "stalled" and tokens == 0:
            return await self._forever()
        if fate == "too few choices":
            self._n -= 1
        await self._pause()
        self._send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for index in self._indices(tokens):
            await self._pause()
            self._token(index)
        await self._pause()
        await getattr(self, "_" + fate.replace(" ", "_"))()

    def _indices(self, tokens: int) -> Iterator[int]:
        return (self._rng.randrange(self._n) for _ in range(tokens))

    # the ends of a stream, by the name of the fate

    async def _served(self) -> None:
        self._finish("served")

    async def _too_few_choices(self) -> None:
        self._finish("failed")

    def _finish(self, outcome: str) -> None:
        for index in range(self._n):
            self._event({"choices": [{"index": index, "delta": {}, "finish_reason": self._rng.choice(["stop", "length"])}]})
        if self._usage != "none":
            self._event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": self._entry.tokens}})
        self._book(outcome)
        self._piece(b"data: [DONE]\n\n")
        self._piece(b"")

    async def _stalled(self) -> None:
        await self._forever()

    async def _truncated(self) -> None:
        self._book("failed")
        if self._rng.random() < 0.5:
            self._piece(b"")  # a well-formed end of the response, but not of the answer
        self._wire.close()

    async def _reset(self) -> None:
        self._book("failed")
        self._wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._wire.abort()

    async def _broken_JSON(self) -> None:
        self._book("failed")
        self._piece(b'data: {"choices": [{"del\n\n')
        await self._forever()

    async def _error_event(self) -> None:
        self._book("failed")
        self._event({"error": {"message": "out of memory", "code": 500}})
        await self._forever()

    async def _cut(self) -> None:
        for index in self._indices(self._rng.randint(0, 5)):
            self._token(index)
        self._server.cut(self._run)
        await self._forever()

    # answers that are no stream

    async def _refuse(self) -> None:
        await self._pause()
        status = self._rng.choice([429, 500, 503])
        wait = self._rng.choice([b"", b"retry-after-ms: 200\r\n", b"retry-after: 1\r\n", b"retry-after: 100\r\n"])
        self._book("failed")
        self._send(b"HTTP/1.1 %d Sorry\r\n%sContent-Length: 4\r\n\r\nbusy" % (status, wait))

    async def _send_whole(self, tokens: int) -> None:
        await self._pause()
        texts = [""] * self._n
        for index in self._indices(tokens):
            texts[index] += "word "
        choices = [{"index": i, "message": {"content": text}, "finish_reason": "stop"} for i, text in enumerate(texts)]
        self._entry.tokens = tokens
        body = json.dumps({"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": tokens}}).encode()
        self._book("served")
        self._send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    # sending

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.expovariate(1 / 0.08) % (PATIENCE / 2))

    async def _forever(self) -> None:
        await asyncio.get_running_loop().create_future()

    def _token(self, index: int) -> None:
        """One chunk: one token, or several in one if the usage so far goes with it."""
        tokens = self._rng.randint(1, 3) if self._usage == "always" else 1
        self._entry.tokens += tokens
        event: dict[str, Any] = {"choices": [{"index": index, "delta": {"content": "word " * tokens}}]}
        if self._usage == "always":
            event["usage"] = {"prompt_tokens": 7, "completion_tokens": self._entry.tokens}
        self._event(event)

    def _event(self, event: Any) -> None:
        self._piece(b"data: %s\n\n" % json.dumps(event).encode())

    def _piece(self, data: bytes) -> None:
        self._send(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, data: bytes) -> None:
        self._last_sent = asyncio.get_running_loop().time()
        self._wire.write(data)

    def _book(self, outcome: str) -> None:
        self._entry.outcome = outcome
