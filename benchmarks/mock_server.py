"""A chat server without a model, for measuring what stands between it and a caller: fixed latencies, fixed answers.

`python benchmarks/mock_server.py --port 8123 --latency 0.002` serves `/v1/chat/completions`, streamed or not, and at `/stats`
the numbers of requests whose bytes have arrived, and that it has started, served and seen aborted; `/stats?reset=1` starts
counting anew, and the answers, too.
With `--port 0` it takes a free one; it prints its address first. `--slow-every 4 --slow-factor 8 --answers 42,42,42,7` makes
every fourth request take eight times as long, and lets the requests, in the order in which they start, have those answers in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp import web

WORDS = "Two and two are four , and ten times that and two is".split(" ")


class MockServer:
    """Answers after `latency` seconds, every `slow_every`th time after `slow_factor` times that; `answers` take turns."""

    def __init__(self, latency: float, slow_every: int = 0, slow_factor: float = 1, answers: Sequence[str] = ("42",)) -> None:
        self.latency, self.slow_every, self.slow_factor, self.answers = latency, slow_every, slow_factor, answers
        self.stats = Counter(arrived=0, started=0, served=0, aborted=0)

    async def chat(self, request: web.Request) -> web.Response:
        """One chat completion."""
        turn = self.stats["started"]
        self.stats["started"] += 1
        slow = self.slow_every and turn % self.slow_every == self.slow_every - 1
        try:
            body = await request.json()
            await asyncio.sleep(self.latency * (self.slow_factor if slow else 1))
        except asyncio.CancelledError:
            self.stats["aborted"] += 1
            raise
        self.stats["served"] += 1
        n = body.get("n") or 1
        words = [*WORDS, f"\\boxed{{{self.answers[turn % len(self.answers)]}}}"]
        if body.get("stream"):
            return web.Response(body=streamed(n, words), content_type="text/event-stream")
        return web.json_response(whole(n, words))

    async def counts(self, request: web.Request) -> web.Response:
        response = web.json_response(self.stats)
        if request.query.get("reset"):
            self.stats = Counter(arrived=0, started=0, served=0, aborted=0)
        return response


class Arrivals(asyncio.Protocol):
    """Counts the requests in the bytes of a connection, and hands all on to aiohttp's own protocol."""

    MARK = b"POST /v1/chat/completions "

    def __init__(self, inner: asyncio.Protocol, server: MockServer) -> None:
        self._inner, self._server, self._tail = inner, server, b""
        self.pause_writing, self.resume_writing = inner.pause_writing, inner.resume_writing  # type: ignore[method-assign]
        self.connection_made, self.connection_lost = inner.connection_made, inner.connection_lost  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        seen = self._tail + data
        self._server.stats["arrived"] += seen.count(self.MARK)
        self._tail = seen[1 - len(self.MARK) :]
        self._inner.data_received(data)


def whole(n: int, words: Sequence[str]) -> dict[str, Any]:
    """The answer in one piece."""
    message = {"role": "assistant", "content": " ".join(words)}
    choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(n)]
    return {"id": "x", "object": "chat.completion", "model": "mock", "choices": choices, "usage": usage(n, words)}


def streamed(n: int, words: Sequence[str]) -> bytes:
    """The answer as events, a word each."""
    events: list[Any] = []
    for i in range(n):
        for place, word in enumerate(words):
            delta = {"content": word if place == 0 else " " + word}
            events.append({"choices": [{"index": i, "delta": delta, "finish_reason": None}]})
        events.append({"choices": [{"index": i, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": usage(n, words)})
    head = {"id": "x", "object": "chat.completion.chunk", "model": "mock"}
    return b"".join(b"data: %s\n\n" % json.dumps(head | event).encode() for event in events) + b"data: [DONE]\n\n"


def usage(n: int, words: Sequence[str]) -> dict[str, int]:
    return {"prompt_tokens": 20, "completion_tokens": n * len(words), "total_tokens": 20 + n * len(words)}


async def serve(port: int, server: MockServer) -> None:
    """Serve until cancelled."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/stats", server.counts)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        make = runner.server
        assert make is not None
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: Arrivals(make(), server), "127.0.0.1", port, backlog=1024)
        print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
        await listening.serve_forever()
    finally:
        await runner.cleanup()


@contextmanager
def serving(latency: float, *options: str) -> Iterator[str]:
    """This server in a process of its own, for other benchmarks; yields its base URL."""
    command = [sys.executable, __file__, "--port", "0", "--latency", str(latency), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8123, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--latency", type=float, default=0.002, help="seconds before each answer (default: %(default)s)")
    parser.add_argument("--slow-every", type=int, default=0, metavar="N", help="every Nth request is slow; 0: none")
    parser.add_argument("--slow-factor", type=float, default=8, help="so many times slower (default: %(default)s)")
    parser.add_argument("--answers", default="42", help="the answers in turn, with commas between them (default: %(default)s)")
    arguments = parser.parse_args()
    server = MockServer(arguments.latency, arguments.slow_every, arguments.slow_factor, arguments.answers.split(","))
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, server))


if __name__ == "__main__":
    main()
