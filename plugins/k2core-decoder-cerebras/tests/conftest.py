"""A loopback server that mimics the documented API, or sends exactly the bytes a test writes; the real kernel, decoder and SDK."""

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
from k2core_decoder_cerebras import CerebrasDecoder

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

KEY = "csk-0123456789-very-secret"
TIMES = {"queue_time": 0.25, "prompt_time": 0.125, "completion_time": 0.5, "total_time": 0.9, "created": 1}


def chunk(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk object of a stream."""
    if content is not None:
        delta["content"] = content
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "loop", "system_fingerprint": "fp"}
    return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def usage(prompt: int, completion: int, accepted: int | None = None, rejected: int | None = None) -> dict[str, Any]:
    """What the last chunk adds."""
    details = {"accepted_prediction_tokens": accepted, "rejected_prediction_tokens": rejected, "reasoning_tokens": 0}
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"usage": {**counts, "completion_tokens_details": details}, "time_info": TIMES}


def events(*objects: Any, done: bool = True) -> bytes:
    return b"".join(b"data: " + json.dumps(o).encode() + b"\n\n" for o in objects) + b"data: [DONE]\n\n" * done


def good(*words: str, **counts: Any) -> bytes:
    """A whole good stream: the words, then an end with the counts."""
    last = {**chunk(None, "stop"), **usage(**{"prompt": 7, "completion": len(words), **counts})}
    return events(*(chunk(word) for word in words), last)


def whole(content: str | None, finish: str = "stop", **message: Any) -> bytes:
    """An answer in one piece."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}]
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "loop", "system_fingerprint": "fp"}
    return json.dumps({**head, "choices": choices, **usage(7, 3)}).encode()


def error_body(message: str, code: str = "", param: str = "") -> bytes:
    """An error as the service sends it."""
    return json.dumps({"message": message, "type": "some_error", "param": param, "code": code}).encode()


class Wire:
    """One connection, as the server's script sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.headers: dict[str, str] = {}
        self.path = ""
        self.body: Any = None

    async def request(self) -> bool:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.path = head[0].split()[1]
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        raw = await self.reader.readexactly(int(self.headers.get("content-length", "0")))
        self.body = json.loads(raw) if raw else None
        return True

    def answer(self, status: int = 200, body: bytes = b"", kind: str = "application/json", **headers: str) -> None:
        self.head(status, kind, content_length=str(len(body)), **headers)
        self.writer.write(body)

    def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Because", f"Content-Type: {kind}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    def stream(self, *pieces: bytes, **headers: str) -> None:
        """A response in HTTP chunks, one a piece, and its end."""
        self.head(transfer_encoding="chunked", **headers)
        for piece in filter(None, pieces):
            self.piece(piece)
        self.writer.write(b"0\r\n\r\n")

    def piece(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

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
        self.connections = self.open = 0
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
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
        self.open += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await wire.request():
                    self.bodies.append(wire.body)
                    self.headers.append(wire.headers)
                    self.paths.append(wire.path)
                    answering = self.script(wire)
                    if answering is not None:
                        await answering
        finally:
            self.open -= 1
            wire.writer.close()
            with suppress(ConnectionError):
                await wire.writer.wait_closed()


class NoSampler(Plugin):
    """The tests decode through open runs."""

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        raise NotImplementedError


class Watcher(Plugin):
    """Keeps the events of all runs."""

    seen: list[Event]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        self.seen.append(event)


@dataclass
class Outcome:
    server: Server
    ledger: Ledger
    events: list[Event]
    completions: Sequence[Completion] = ()
    error: Exception | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.completions[0].text

    def streamed(self, index: int = 0, reasoning: bool = False) -> str:
        deltas = [e for e in self.events if isinstance(e, Delta)]
        return "".join(d.text for d in deltas if d.index == index and d.reasoning == reasoning)


def runtime(base_url: str, seen: list[Event] | None = None, **options: Any) -> Runtime:
    retry = {"attempts": options.pop("attempts", 1), "base": 0.0, "max": 5.0}
    registry = Registry()
    registry.add("decoder", "cerebras", CerebrasDecoder)
    registry.add("sampler", "none", NoSampler)
    registry.add("hook", "watch", type("Watch", (Watcher,), {"seen": [] if seen is None else seen, "__module__": __name__}))
    decoder = {"use": "cerebras", "base_url": base_url, "model": "loop", **options}
    tables = {"sampler": {"use": "none"}, "decoders": {"solver": decoder}, "retry": retry, "hooks": {"watch": {}}}
    return Runtime(PipelineConfig.from_dict(tables), registry=registry)


def request(**fields: Any) -> DecodeRequest:
    return DecodeRequest(**{"messages": (Message(role="user", content="2+2?"),), "max_tokens": 50, **fields})


async def _ask(script: Script, requests: Sequence[DecodeRequest], options: dict[str, Any]) -> Outcome:
    seen: list[Event] = []
    async with Server(script) as server, runtime(server.url, seen, **options) as rt:
        outcome = Outcome(server, rt.ledger, seen)
        async with rt.open(Problem(prompt="2+2?"), seed=1) as run:
            try:
                for one in requests:
                    outcome.completions = await run.decode(one)
            except Exception as error:
                outcome.error = error
            outcome.warnings = list(getattr(run, "warnings", []))
    return outcome


@dataclass
class Kit:
    """What the tests share; a fixture, since test files cannot import each other."""

    Server = Server
    Wire = Wire
    key = KEY
    chunk = staticmethod(chunk)
    usage = staticmethod(usage)
    events = staticmethod(events)
    good = staticmethod(good)
    whole = staticmethod(whole)
    error_body = staticmethod(error_body)
    runtime = staticmethod(runtime)
    request = staticmethod(request)

    def ask(self, script: Script, options: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        """One decode call against a server that follows the script; errors are left in the outcome."""
        return asyncio.run(_ask(script, [request(**fields)], options or {}))

    def several(self, script: Script, requests: Sequence[DecodeRequest], options: dict[str, Any] | None = None) -> Outcome:
        """Calls of one run, one after the other; the last one's completions."""
        return asyncio.run(_ask(script, requests, options or {}))

    def stream(self, *pieces: bytes, options: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        """One decode call that is answered with a stream of these pieces."""
        return self.ask(lambda wire: wire.stream(*pieces), options, **fields)


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Kit:
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    return Kit()
