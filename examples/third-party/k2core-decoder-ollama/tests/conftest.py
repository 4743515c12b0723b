"""A loopback server that speaks what is documented of Ollama's `/api/chat`, at the pace and with the faults of a test."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

Body = dict[str, Any]
Fault = Callable[[Body, int], web.Response | list[bytes] | None]


def words(body: Body) -> list[str]:
    """What the model would say without limits: by its prompt, and its seed at a temperature; JSON where a format is asked for."""
    options, said = body["options"], json.dumps(body["messages"])
    seed = options.get("seed") if options["temperature"] else 0
    number = int(hashlib.sha256(f"{said}/{seed}".encode()).hexdigest()[:8], 16)
    if isinstance(body.get("format"), dict):
        names = body["format"].get("properties", {"word": {}})
        return [json.dumps({name: _value(schema, number) for name, schema in names.items()})]
    question = body["messages"][-1]["content"]
    return ["The ", f"{question[-20:]!r} ", f"case {number % 97} ", "is 🤔 ", f"\\boxed{{{number % 10}}}."]


def _value(schema: Body, number: int) -> Any:
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    values = {"integer": number % 9, "number": 0.5, "boolean": True, "array": [], "object": {}}
    return values.get(schema.get("type", ""), "word")


@dataclass
class OllamaServer:
    """Answers `POST /api/chat` by rule. `fault(body, number)` answers in its place, or is None and does not."""

    fault: Fault = lambda body, number: None
    pause: float = 0.003
    """Seconds before each line."""
    bodies: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lines: int = 0
    """Written in all."""
    left: int = 0
    """Answers that the client has not waited for."""
    url: str = ""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        answer = self.fault(body, len(self.bodies))
        if isinstance(answer, web.Response):
            return answer
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        try:
            for line in self._answer(body) if answer is None else answer:
                await asyncio.sleep(self.pause)
                await response.write(line)
                self.lines += 1
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
            raise
        return response

    def _answer(self, body: Body) -> Iterator[bytes]:
        whole, options = words(body), body["options"]
        made, reason = whole[: options["num_predict"]], "stop" if len(whole) <= options["num_predict"] else "length"
        text = "".join(made)
        for stop in options["stop"]:
            if stop in text:
                text, reason = text[: text.index(stop)], "stop"
        place = 0
        for word in made:
            piece = text[place : place + len(word)]
            place += len(word)
            if piece:
                yield chunk({"role": "assistant", "content": piece})
        final = {"model": body["model"], "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason}
        counts = {"prompt_eval_count": 9, "eval_count": len([w for w in made if place]) if text else 0}
        yield line({**final, **counts, "load_duration": 1_000_000, "prompt_eval_duration": 2_000_000, "eval_duration": 3_000_000})

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/api/chat", self.chat)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()


def line(answer: Body) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode() + b"\n"


def chunk(message: Body, **more: Any) -> bytes:
    return line({"model": "test", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False, **more})


@contextmanager
def running(server: OllamaServer) -> Iterator[OllamaServer]:
    """The server in a thread of its own; it is down, and its thread gone, after the block."""
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(ready, stop))

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@dataclass
class Kit:
    """What the tests share."""

    Server = OllamaServer
    running = staticmethod(running)
    line = staticmethod(line)
    chunk = staticmethod(chunk)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()
