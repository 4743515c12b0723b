"""Rubbish, oversized bodies, slow and vanished clients: refused or cut off, and nothing of them stays."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = {"body_bytes": 65536, "body_seconds": 0.4, "head_seconds": 0.4, "stall_seconds": 0.5, "outbox_bytes": 8192}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(shared: Any) -> Iterator[Any]:
    with (
        shared.api_server(lambda body: "It is 42") as api,
        shared.serve(shared.write(shared.SINGLE, url=api.base_url), limits=LIMITS) as running,
    ):
        running.api = api
        yield running


def error_of(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    return answer.status_code, error["code"]


RUBBISH = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b"null",
    b'{"model": "m", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    b'\xef\xbb\xbf{"model": "m"}',
    b'{"model": "m", "temperature": NaN, "messages": []}',
    b"[" * 50_000,
    b'{"a":' * 9_000,
    b'{"n": ' + b"9" * 5000 + b"}",
    "{}".encode("utf-16"),
]


@pytest.mark.parametrize("body", RUBBISH, ids=range(len(RUBBISH)))
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_rubbish_is_a_400_in_openais_form(server: Any, path: str, body: bytes) -> None:
    answer = server.post(path, content=body, headers=JSON)
    assert error_of(answer)[0] == 400
    assert server.api.requests == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [
    "model",
    "messages",
    "input",
    "n",
    "stream",
    "stop",
    "temperature",
    "response_format",
    "tools",
    "seed",
    "text",
    "reasoning",
]


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=5), st.sampled_from(["chat/completions", "responses"]))
def test_no_body_makes_it_fail_by_itself(server: Any, body: dict[str, Any], path: str) -> None:
    """Whatever fields hold, the answer is one in 200 or an error that blames the request."""
    answer = server.post(f"/v1/{path}", content=json.dumps({"model": "m", **body}).encode(), headers=JSON)
    assert answer.status_code in (200, 400, 404), answer.text
    server.api.requests.clear()


def test_a_large_body_is_refused_early(server: Any) -> None:
    large = b'{"model": "' + b"m" * 10_000_000
    assert error_of(server.post(content=large, headers=JSON)) == (413, "request_too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"m" * 10_000

    assert error_of(server.post(content=chunks(), headers=JSON)) == (413, "request_too_large")


def test_other_content_types_addresses_and_methods(server: Any) -> None:
    assert error_of(server.post(content=b"{}", headers={"content-type": "text/plain"}))[0] == 415
    assert error_of(server.post("/v1/other", json={})) == (404, "not_found")
    assert error_of(httpx.get(f"{server.url}/v1/chat/completions")) == (405, "method_not_allowed")


def test_another_host_s_name_is_refused_without_keys(server: Any) -> None:
    assert error_of(server.post(json={}, headers={"host": "evil.example"})) == (403, "host_not_allowed")


def closed_after(connection: socket.socket) -> tuple[float, bytes]:
    """Seconds until the server ends the connection, and what it sent before."""
    began, data = time.monotonic(), b""
    try:
        while part := connection.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return time.monotonic() - began, data


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_slow_loris_is_cut_off(server: Any, shared: Any) -> None:
    for begun in (b"", b"POST /v1/ch", HEAD):
        with shared.raw(server.port, begun) as connection:
            seconds, data = closed_after(connection)
            assert seconds < 8
            assert data == b""
    with shared.raw(server.port, HEAD + b'Content-Length: 100\r\n\r\n{"model"') as connection:
        seconds, data = closed_after(connection)
        assert seconds < 8
        assert b"408 Request Timeout" in data
        assert b"request_timeout" in data


class Endless:
    """A chat server that goes on until it is left, and counts both."""

    def __init__(self, text: str, pause: float) -> None:
        self.text, self.pause, self.started, self.left = text, pause, 0, 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        self.started += 1
        try:
            await response.prepare(request)
            while True:
                chunk = {"choices": [{"index": 0, "delta": {"content": self.text}, "finish_reason": None}]}
                await response.write(b"data: %s\n\n" % json.dumps(chunk).encode())
                await asyncio.sleep(self.pause)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


def request(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(data) + data


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 # of another thread
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["whole", "streamed", "three candidates"])
def test_a_client_that_vanishes_stops_everything_upstream(shared: Any, kind: str) -> None:
    """Cancelled at the back end, counted as cancelled in the ledger with the tokens that had come, and nothing is left."""

    async def main() -> Any:
        upstream = Endless("word ", 0.01)
        async with upstream as url:
            text = shared.VOTING if kind == "three candidates" else shared.SINGLE
            with shared.serve(shared.write(text, "v.toml", url=url)) as server:
                for _ in range(4):
                    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    writer.write(request(shared.ask("v", stream=kind == "streamed")))
                    started = upstream.started
                    await until(lambda started=started: upstream.started >= started + (3 if kind == "three candidates" else 1))
                    await asyncio.sleep(0.05)
                    linger = struct.pack("ii", 1, 0)  # a reset, as of a machine that has gone
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.close()
                    await until(lambda: upstream.left == upstream.started)
                await until(lambda: server.services.gate.places.running == 0)
                ledger = server.services.pipelines.version("v").runtimes[""].ledger
                gone = server.services.metrics.gone.labels("chat")._value.get()
                return ledger.total, ledger.in_flight, upstream.started, gone

    total, in_flight, started, gone = asyncio.run(main())
    assert (total.started, total.cancelled, in_flight, gone) == (started, started, 0, 4)
    assert total.completion_tokens > 0


def test_a_client_that_takes_nothing_is_cut_off_and_memory_is_bounded(shared: Any) -> None:
    async def main() -> Any:
        upstream = Endless("x" * 2000, 0)
        async with upstream as url:
            with shared.serve(shared.write(shared.SINGLE, "v.toml", url=url), limits=LIMITS) as server:
                stalled = socket.create_connection(("127.0.0.1", server.port))
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.sendall(request(shared.ask("v", stream=True)))
                await until(lambda: upstream.started == 1)
                await until(lambda: upstream.left == 1)
                await until(lambda: server.services.gate.places.running == 0 and not server.server.server_state.connections)
                stalled.close()
                return server.services.pipelines.version("v").runtimes[""].ledger.total

    assert asyncio.run(main()).cancelled == 1
