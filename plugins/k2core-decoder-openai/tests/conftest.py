"""A loopback server that sends exactly the bytes a test writes, and a client: the real kernel with the real decoder."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from k2core_decoder_openai import OpenAIDecoder

from k2core import (
    Candidate,
    Completion,
    DecodeRequest,
    Delta,
    Event,
    Ledger,
    Message,
    PipelineConfig,
    Plan,
    Plugin,
    Problem,
    Registry,
    Run,
    Runtime,
    hookimpl,
)


def chunk(content: str | None = None, index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk object of a stream."""
    if content is not None:
        delta["content"] = content
    return {"model": "loop", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def events(*objects: Any, done: bool = True) -> bytes:
    """A stream as vLLM and OpenAI write it."""
    return b"".join(b"data: " + json.dumps(o).encode() + b"\n\n" for o in objects) + b"data: [DONE]\n\n" * done


def whole(*contents: str, finish: str = "stop", **top: Any) -> bytes:
    """An answer in one piece."""
    choices = [{"index": i, "message": {"content": c}, "finish_reason": finish} for i, c in enumerate(contents)]
    return json.dumps({"model": "loop", "choices": choices, **top}).encode()


class Wire:
    """One connection, as the server's script sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.headers: dict[str, str] = {}
        self.body: Any = None

    async def request(self) -> bool:
        """Read the next request; False when the client has gone."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        self.body = json.loads(await self.reader.readexactly(int(self.headers["content-length"])))
        return True

    def answer(self, status: int = 200, body: bytes = b"", kind: str = "application/json", **headers: str) -> None:
        """A whole response; the connection stays open."""
        self.head(status, kind, content_length=str(len(body)), **headers)
        self.writer.write(body)

    def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Because", f"Content-Type: {kind}"] if kind else [f"HTTP/1.1 {status} Because"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    def stream(self, *pieces: bytes) -> None:
        """A response in HTTP chunks, one a piece, and its end."""
        self.head(transfer_encoding="chunked")
        for piece in filter(None, pieces):
            self.piece(piece)
        self.piece(b"")

    def piece(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def turns(self, count: int = 20) -> None:
        """Let the client read what has been written."""
        for _ in range(count):
            await asyncio.sleep(0)

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(1000):
                pass


Script = Callable[[Wire], Awaitable[None] | None]


class Server:
    """Serves `script` on every request of every connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections = 0
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(Wire(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, wire: Wire) -> None:
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await wire.request():
                    self.bodies.append(wire.body)
                    self.headers.append(wire.headers)
                    answering = self.script(wire)
                    if answering is not None:
                        await answering
        finally:
            wire.writer.close()
            with suppress(ConnectionError):
                await wire.writer.wait_closed()


class NoSampler(Plugin):
    """The tests decode through open runs."""

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        raise NotImplementedError


class Watcher(Plugin):
    """Keeps the deltas, of all runs."""

    seen: list[Delta]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, Delta):
            self.seen.append(event)


@dataclass
class Outcome:
    server: Server
    ledger: Ledger
    deltas: list[Delta]
    completions: Sequence[Completion] = ()
    error: Exception | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.completions[0].text

    @property
    def reasoning(self) -> str:
        return self.completions[0].reasoning

    def streamed(self, index: int = 0, reasoning: bool = False) -> str:
        return "".join(d.text for d in self.deltas if d.index == index and d.reasoning == reasoning)


def runtime(base_url: str, seen: list[Delta] | None = None, **options: Any) -> Runtime:
    retry = {"attempts": options.pop("attempts", 1), "base": 0.0, "max": 5.0}
    registry = Registry()
    registry.add("decoder", "openai", OpenAIDecoder)
    registry.add("sampler", "none", NoSampler)
    registry.add("hook", "watch", type("Watch", (Watcher,), {"seen": [] if seen is None else seen, "__module__": __name__}))
    decoder = {"use": "openai", "base_url": base_url, **options}
    tables = {"sampler": {"use": "none"}, "decoders": {"solver": decoder}, "retry": retry, "hooks": {"watch": {}}}
    return Runtime(PipelineConfig.from_dict(tables), registry=registry)


def request(**fields: Any) -> DecodeRequest:
    return DecodeRequest(**{"messages": (Message(role="user", content="2+2?"),), "max_tokens": 50, **fields})


async def _ask(script: Script, fields: dict[str, Any], options: dict[str, Any]) -> Outcome:
    seen: list[Delta] = []
    async with Server(script) as server, runtime(f"http://127.0.0.1:{server.port}/v1", seen, **options) as rt:
        outcome = Outcome(server, rt.ledger, seen)
        async with rt.open(Problem(prompt="2+2?"), seed=1) as run:
            try:
                outcome.completions = await run.decode(request(**fields))
            except Exception as error:
                outcome.error = error
            outcome.warnings = list(getattr(run, "warnings", []))
    return outcome


@dataclass
class Kit:
    """What the tests share; a fixture, since test files cannot import each other."""

    Server = Server
    Wire = Wire
    chunk = staticmethod(chunk)
    usage = staticmethod(usage)
    events = staticmethod(events)
    whole = staticmethod(whole)
    runtime = staticmethod(runtime)
    request = staticmethod(request)

    def ask(self, script: Script, options: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        """One decode call against a server that follows the script; errors are left in the outcome."""
        return asyncio.run(_ask(script, fields, options or {}))

    def stream(self, *pieces: bytes, options: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        """One decode call that is answered with a stream of these pieces."""
        return self.ask(lambda wire: wire.stream(*pieces), options, **fields)

    def answer(self, body: bytes, options: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        """One decode call that is answered with JSON."""
        return self.ask(lambda wire: wire.answer(200, body), options, **fields)


@pytest.fixture
def kit() -> Kit:
    return Kit()
