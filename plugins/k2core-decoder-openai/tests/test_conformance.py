"""The decoder keeps the rules of its role, as the kernel's own kit checks them, against a server that streams slowly."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from k2core_decoder_openai import OpenAIDecoder

from k2core.testing import Subject, checks_for


def objects(body: Any) -> Iterator[dict[str, Any]]:
    """The chunks of the answer, which minds `max_tokens`, `stop` and `n`."""
    question = body["messages"][-1]["content"]
    everything = ["The ", f"{question[-20:]!r} ", "answer ", "is ", "\\boxed{42}."]
    words = everything[: body["max_tokens"]]
    finish = "stop" if words == everything else "length"
    for place, word in enumerate(words):
        if any(stop in word for stop in body.get("stop", ())):
            words, finish = words[:place], "stop"
            break
    if "tools" in body:
        call = {"index": 0, "id": "a", "function": {"name": body["tools"][0]["function"]["name"], "arguments": '{"a": 1, '}}
        yield {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
        yield {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '"b": 2}'}}]}}]}
        words, finish = [], "tool_calls"
    for index in range(body["n"]):
        yield from ({"choices": [{"index": index, "delta": {"content": word}}]} for word in words)
        yield {"choices": [{"index": index, "delta": {}, "finish_reason": finish}]}
    yield {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": len(words) * body["n"]}}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r")[0])
            body = json.loads(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for data in [*map(json.dumps, objects(body)), "[DONE]"]:
                piece = f"data: {data}\n\n".encode()
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0.005)
            writer.write(b"0\r\n\r\n")
    writer.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server in a thread of its own, since every check runs a loop of its own."""
    ready = threading.Event()
    found: list[Any] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            found.extend((asyncio.get_running_loop(), stop, server.sockets[0].getsockname()[1]))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    loop, stop, port = found
    yield f"http://127.0.0.1:{port}/v1"
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.mark.parametrize("check", checks_for("decoder"), ids=lambda check: check.name)
def test_the_decoder_conforms(check: Any, address: str) -> None:
    check(Subject("decoder", OpenAIDecoder, {"base_url": address}))
