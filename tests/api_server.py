"""A loopback server that speaks OpenAI's chat API, streaming or not, and answers what a test's function says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Body = dict[str, Any]
Answer = Callable[[Body], str | web.Response]


class ApiServer:
    """Serves on a free port in a thread of its own; `requests` holds the bodies that came."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.requests = answer, list[Body]()
        self.base_url = ""

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        answer = self.answer(body)
        if isinstance(answer, web.Response):
            return answer
        words = answer.split(" ")
        usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}
        if not body.get("stream"):
            message = {"role": "assistant", "content": answer}
            choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(body.get("n") or 1)]
            return web.json_response({"model": "loopback", "choices": choices, "usage": usage})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for place, word in enumerate(words):
            await self._send(response, {"content": word if place == 0 else " " + word}, None)
        await self._send(response, {}, "stop")
        await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode())
        return response

    async def _send(self, response: web.StreamResponse, delta: Body, finish: str | None) -> None:
        chunk = {"model": "loopback", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        await stop.wait()
        await runner.cleanup()


@contextmanager
def api_server(answer: Answer) -> Iterator[ApiServer]:
    """A running server; it is down, and its thread gone, after the block."""
    server, ready = ApiServer(answer), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

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
