"""`chat_server.py NAME BOOKS PORT`: streams eight words that hold the prompt; writes into BOOKS, as it happens, what it did."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

NAME, BOOKS, PORT = sys.argv[1], open(sys.argv[2], "a", buffering=1), int(sys.argv[3])  # noqa: SIM115 # open as long as the process
settings: dict[str, Any] = {}


def book(**counts: int) -> None:
    BOOKS.write(json.dumps(counts) + "\n")


async def change(request: web.Request) -> web.Response:
    settings.update(await request.json())
    return web.Response()


async def chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    book(started=1)
    if settings.get("status"):
        book(failed=1)
        error = {"error": {"message": settings.get("message", "sorry")}}
        return web.json_response(error, status=settings["status"], headers=settings.get("headers"))
    await asyncio.sleep(settings.get("first", 0.0))
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    words = [f"{body['messages'][-1]['content']}", *(f" {NAME}{i}" for i in range(7))]
    for place, word in enumerate(words):
        if place == settings.get("breaks"):
            book(failed=1)
            assert request.transport
            request.transport.abort()
            return response
        delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        await response.write(b"data: " + json.dumps({"model": NAME, "choices": [delta]}).encode() + b"\n\n")
        book(tokens=1)
        await asyncio.sleep(settings.get("pause", 0.0))
    ends = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    for chunk in ({"choices": ends}, {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": len(words)}}):
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    book(served=1)  # before the client can know that all has come
    await response.write(b"data: [DONE]\n\n")
    return response


async def main() -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/set", change)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT, reuse_address=True).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
