"""A chat server without a model, for measuring what stands between it and a caller: fixed latency, one fixed answer.

`python benchmarks/mock_server.py --port 8123 --latency 0.002` serves `/v1/chat/completions`, streamed or not, and at `/stats`
the numbers of requests it has started, served and seen aborted. With `--port 0` it takes a free one; it prints its address first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any

from aiohttp import web

WORDS = "Two and two are four , and ten times that and two is \\boxed{42}".split(" ")


class MockServer:
    """Answers after `latency` seconds."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.stats = Counter(started=0, served=0, aborted=0)

    async def chat(self, request: web.Request) -> web.Response:
        """One chat completion."""
        self.stats["started"] += 1
        try:
            body = await request.json()
            await asyncio.sleep(self.latency)
        except asyncio.CancelledError:
            self.stats["aborted"] += 1
            raise
        self.stats["served"] += 1
        n = body.get("n") or 1
        if body.get("stream"):
            return web.Response(body=streamed(n), content_type="text/event-stream")
        return web.json_response(whole(n))

    async def counts(self, request: web.Request) -> web.Response:
        return web.json_response(self.stats)


def whole(n: int) -> dict[str, Any]:
    """The answer in one piece."""
    message = {"role": "assistant", "content": " ".join(WORDS)}
    choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(n)]
    return {"id": "x", "object": "chat.completion", "model": "mock", "choices": choices, "usage": usage(n)}


def streamed(n: int) -> bytes:
    """The answer as events, a word each."""
    events: list[Any] = []
    for i in range(n):
        for place, word in enumerate(WORDS):
            delta = {"content": word if place == 0 else " " + word}
            events.append({"choices": [{"index": i, "delta": delta, "finish_reason": None}]})
        events.append({"choices": [{"index": i, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": usage(n)})
    head = {"id": "x", "object": "chat.completion.chunk", "model": "mock"}
    return b"".join(b"data: %s\n\n" % json.dumps(head | event).encode() for event in events) + b"data: [DONE]\n\n"


def usage(n: int) -> dict[str, int]:
    return {"prompt_tokens": 20, "completion_tokens": n * len(WORDS), "total_tokens": 20 + n * len(WORDS)}


async def serve(port: int, latency: float) -> None:
    """Serve until cancelled."""
    server = MockServer(latency)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/stats", server.counts)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8123, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--latency", type=float, default=0.002, help="seconds before each answer (default: %(default)s)")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, arguments.latency))


if __name__ == "__main__":
    main()
