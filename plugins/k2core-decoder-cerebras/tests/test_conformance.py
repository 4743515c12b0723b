"""The decoder keeps the rules of its role, as the kernel's own kit checks them, against a server that streams slowly."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from k2core_decoder_cerebras import CerebrasDecoder

from k2core.testing import Subject, checks_for


def chunks(body: Any) -> Iterator[dict[str, Any]]:
    """The chunks of the answer, which minds `max_completion_tokens` and `stop`; an error for what the service refuses."""
    question = (body["messages"] or [{"content": ""}])[-1]["content"]
    everything = ["The ", f"{question[-20:]!r} ", "answer ", "räk🦐 ", "is ", "\\boxed{42}."]
    if body["temperature"]:
        everything.insert(1, f"(seed {body.get('seed')}) ")
    words = everything[: body["max_completion_tokens"]]
    finish = "stop" if words == everything else "length"
    for place, word in enumerate(words):
        if any(stop in word for stop in body.get("stop", ())):
            words, finish = words[:place], "stop"
            break
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "system_fingerprint": "f"}
    for word in words:
        choice: dict[str, Any] = {"index": 0, "delta": {"content": word}}
        if body.get("logprobs"):
            top = [{"token": word, "logprob": -0.1}] * body["top_logprobs"]
            choice["logprobs"] = {"content": [{"token": word, "logprob": -0.1, "top_logprobs": top}]}
        yield {**head, "choices": [choice]}
    counts = {"prompt_tokens": 9, "completion_tokens": len(words), "total_tokens": 9 + len(words)}
    times = {"queue_time": 0.0, "prompt_time": 0.001, "completion_time": 0.01, "total_time": 0.011}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": counts, "time_info": times}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r")[0])
            body = json.loads(await reader.readexactly(length))
            if not body["messages"]:
                error = json.dumps({"message": "messages is empty", "type": "invalid_request_error", "param": "messages"}).encode()
                writer.write(
                    b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(error) + error
                )
                continue
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for data in [*(json.dumps(chunk, ensure_ascii=False) for chunk in chunks(body)), "[DONE]"]:
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
        async with await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256) as server:
            found.extend((asyncio.get_running_loop(), stop, server.sockets[0].getsockname()[1]))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    loop, stop, port = found
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.mark.parametrize("check", checks_for("decoder"), ids=lambda check: check.name)
def test_the_decoder_conforms(check: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-loopback")
    check(Subject("decoder", CerebrasDecoder, {"base_url": address, "model": "loop"}))
