"""Everything that can go wrong, each with a clear error of the right kind."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from k2core import PluginError, Problem, TransientError


def transient(out: Any) -> bool:
    """Whether the decoder said that a second try may help."""
    return isinstance(out.error.__cause__, TransientError)


def error_json(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_passing_failures_are_tried_again(kit: Any, status: int) -> None:
    def script(wire: Any) -> None:
        if len(out_bodies) < 3:
            out_bodies.append(1)
            wire.answer(status, error_json("busy"))
        else:
            wire.stream(kit.events(kit.chunk("ok", finish="stop")))

    out_bodies: list[int] = []
    out = kit.ask(script, {"attempts": 4})
    assert (out.error, out.text) == (None, "ok")
    assert (out.ledger.total.started, out.ledger.total.failed, out.ledger.total.served) == (4, 3, 1)
    assert out.ledger.total.completion_tokens == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, error_json("unknown field 'seed'"), "ValueError", ["400", "unknown field 'seed'", "omit"]),
        (400, error_json("too big", code="context_length_exceeded"), "ContextLengthExceeded", ["shorten the prompt"]),
        (400, error_json("This model's maximum context length is 8 tokens"), "ContextLengthExceeded", ["max_tokens"]),
        (400, error_json("no", type="exceed_context_size_error", code=400), "ValueError", ["no"]),
        (401, b"", "PermissionError", ["401", "api_key_env"]),
        (403, error_json("not yours"), "PermissionError", ["403", "not yours"]),
        (404, b'{"detail": "Not Found"}', "LookupError", ["404", "Not Found", "base_url", "'m'"]),
        (405, b"<html><head><title>405 Not\n Allowed</title></head><body>x</body></html>", "RuntimeError", ["405 Not Allowed"]),
        (422, b'{"detail": [{"loc": ["body", "n"]}]}', "ValueError", ["422", '"loc"']),
        (418, b'{"object": "error", "message": "teapot"}', "RuntimeError", ["418: teapot"]),
        (429, error_json("You exceeded your quota", code="insufficient_quota"), "RuntimeError", ["out of credit"]),
        (400, b"<p>" + b"bad " * 500 + b"</p>", "ValueError", ["bad bad", "…"]),
        (451, b'{"error": "flat"}', "RuntimeError", ["451: flat"]),
    ],
)
def test_lasting_failures_are_not(kit: Any, status: int, body: bytes, kind: str, words: list[str]) -> None:
    out = kit.ask(lambda wire: wire.answer(status, body), {"attempts": 4, "model": "m"})
    assert isinstance(out.error, PluginError)
    assert not transient(out)
    assert type(out.error.__cause__).__name__ == kind
    for word in words:
        assert word in str(out.error)
    assert len(str(out.error)) < 800
    assert (out.ledger.total.started, out.ledger.total.failed) == (1, 1)


def test_the_server_may_decide_about_retries(kit: Any) -> None:
    out = kit.ask(lambda wire: wire.answer(503, error_json("gone"), x_should_retry="false"), {"attempts": 4})
    assert (transient(out), out.ledger.total.started) == (False, 1)
    out = kit.ask(lambda wire: wire.answer(400, error_json("odd"), x_should_retry="true"), {"attempts": 2})
    assert (transient(out), out.ledger.total.started) == (True, 2)


def test_a_storm_of_429_is_weathered_as_slowly_as_the_server_asks(kit: Any) -> None:
    times: list[float] = []

    def script(wire: Any) -> None:
        times.append(time.monotonic())
        wire.answer(429, error_json("slow down"), retry_after_ms="80", retry_after="9")

    out = kit.ask(script, {"attempts": 3})
    assert "slow down" in str(out.error)
    assert "3 attempts" in str(out.error)
    assert transient(out)
    assert out.error.__cause__.after == 0.08
    assert out.ledger.total.failed == 3
    assert all(b - a >= 0.08 for a, b in itertools.pairwise(times))  # never sooner; how much later is not ours to test


def test_redirects_are_not_followed(kit: Any) -> None:
    out = kit.ask(lambda wire: wire.answer(307, b"", Location="https://elsewhere.example/v1"))
    assert "redirects to https://elsewhere.example/v1" in str(out.error)
    assert len(out.server.bodies) == 1


def test_an_unreachable_server(kit: Any) -> None:
    async def ask() -> Exception:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with kit.runtime(f"http://127.0.0.1:{port}", attempts=2) as rt, rt.open(Problem(prompt="x")) as run:
            with pytest.raises(PluginError) as caught:
                await run.decode(kit.request())
            assert (rt.ledger.total.failed, rt.ledger.total.completion_tokens, rt.ledger.total.prompt_tokens) == (2, 0, 0)
            return caught.value

    error = asyncio.run(ask())
    assert isinstance(error.__cause__, TransientError)
    assert "cannot be reached: Connection refused; is the server running there?" in str(error)


def test_a_server_that_does_not_accept(kit: Any) -> None:
    async def ask() -> Exception:
        with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            for filler in (first, second):  # they fill the queue of connections to accept
                filler.setblocking(False)
                filler.connect_ex(deaf.getsockname())
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
            async with kit.runtime(url, connect_timeout=0.1) as rt, rt.open(Problem(prompt="x")) as run:
                with pytest.raises(PluginError, match="cannot be reached: no connection within") as caught:
                    await run.decode(kit.request())
                return caught.value

    assert isinstance(asyncio.run(ask()).__cause__, TransientError)


def test_a_long_error_page_in_pieces(kit: Any) -> None:
    async def script(wire: Any) -> None:
        wire.head(500, "application/json", transfer_encoding="chunked")
        for piece in (b'{"error": {"mess', b'age": "in ', b'pieces"}}'):
            wire.piece(piece)
            await wire.turns()
        wire.piece(b"")

    assert "answered 500: in pieces" in str(kit.ask(script).error)


def test_an_error_page_without_an_end(kit: Any) -> None:
    async def script(wire: Any) -> None:
        wire.head(502, "text/html", transfer_encoding="chunked")
        wire.piece(b"<title>Bad gateway</title>")
        await wire.turns()
        wire.reset()
        raise ConnectionError

    assert "answered 502: Bad gateway" in str(kit.ask(script).error)


def test_a_name_that_does_not_resolve(kit: Any) -> None:
    async def ask() -> Exception:
        async with kit.runtime("http://no-such-host.invalid/v1") as rt, rt.open(Problem(prompt="x")) as run:
            with pytest.raises(PluginError, match=r"http://no-such-host\.invalid/v1 cannot be reached") as caught:
                await run.decode(kit.request())
            return caught.value

    assert isinstance(asyncio.run(ask()).__cause__, TransientError)


def test_a_certificate_that_nobody_vouches_for(kit: Any, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def ask() -> Exception:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # the server's side of the failed handshake
        port = server.sockets[0].getsockname()[1]
        async with server, kit.runtime(f"https://localhost:{port}", attempts=3) as rt, rt.open(Problem(prompt="x")) as run:
            with pytest.raises(PluginError, match=r"has no valid certificate: .*self.signed") as caught:
                await run.decode(kit.request())
            return caught.value

    assert not isinstance(asyncio.run(ask()).__cause__, TransientError)


@pytest.mark.parametrize(
    ("stream", "words", "tokens"),
    [
        (b"data: {not json}\n\n", "sent a broken answer, no JSON: '{not json}'", 0),
        (b"data: 17\n\n", "sent a broken answer, no chat completion: '17'", 0),
        (b"data: []\n\n", "no chat completion", 0),
        (b'data: {"choices": [{"delta": 3}]}\n\n', "no chat completion", 0),
        (b'data: {"choices": 3}\n\n', "no chat completion", 0),
        (b'data: {"choices": [{"index": "x", "delta": {}}]}\n\n', "no chat completion", 0),
        (b'data: {"choices": [{"index": 9, "delta": {"content": "x"}}]}\n\n', "no chat completion", 0),
        (b"data: \xff\xfe{}\n\n", "no JSON", 0),
        (b"[" * 100_000 + b"\n\n", "without a finish reason; it says: '[[[", 0),
        (b"data: " + b"[" * 100_000 + b"\n\n", "no ", 0),
        (b'{"object": "error", "message": "busy"}\n', 'it says: \'{"object": "error"', 0),
        (b"", "after 0 tokens without a finish reason", 0),
        (b"data: [DONE]\n\n", "after 0 tokens without a finish reason", 0),
        (b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: {"cho', "no JSON", 1),
        (b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n', "after 1 tokens without a finish", 1),
        (b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n', "after 1 tokens without a finish", 1),
        (b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "error"}]}\n\n', "gave up after 1 tokens", 1),
        (b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: {"error": {"message": "OOM"}}\n\n', "500: OOM", 1),
        (b'event: error\ndata: {"message": "overloaded", "code": 529}\n\n', "529: overloaded", 0),
        (b'error: {"message": "slot lost", "code": 503}\n\n', "503: slot lost", 0),
    ],
)
def test_broken_streams(kit: Any, stream: bytes, words: str, tokens: int) -> None:
    out = kit.stream(stream)
    assert transient(out)
    assert words in str(out.error)
    assert (out.ledger.total.failed, out.ledger.total.completion_tokens) == (1, tokens)


@pytest.mark.parametrize("code", [400, "400"])
def test_an_error_inside_a_stream_may_be_a_lasting_one(kit: Any, code: Any) -> None:
    out = kit.stream(kit.events({"error": {"message": "bad schema", "code": code}}))
    assert not transient(out)
    assert "400: bad schema" in str(out.error)


@pytest.mark.parametrize(
    ("body", "kind", "words", "again"),
    [
        (b"{", "application/json", "no JSON", True),
        (b"", "application/json", "no JSON", True),
        (b"null", "application/json", "no chat completion", True),
        (b"{}", "application/json", "without a finish reason", True),
        (b'{"choices": [{"message": null}, {"index": 5}]}', "application/json", "no chat completion", True),
        (b'{"error": {"message": "upstream", "code": 502}}', "application/json", "502: upstream", True),
        (b'{"error": {"message": "denied", "code": 403}}', "application/json", "403: denied", False),
        (b"<!doctype html><title>Welcome</title>", "text/html", "answered with text/html, not with JSON", False),
        (b"hello", "text/plain", "answered with text/plain", False),
        (b"", "text/plain", "answered with text/plain", False),
    ],
)
def test_broken_answers(kit: Any, body: bytes, kind: str, words: str, again: bool) -> None:
    out = kit.ask(lambda wire: wire.answer(200, body, kind))
    assert words in str(out.error)
    assert transient(out) is again


@pytest.mark.parametrize("stream", [True, False])
def test_fewer_choices_than_asked_for(kit: Any, stream: bool) -> None:
    good = kit.events(kit.chunk("x", finish="stop"))
    out = kit.ask(lambda wire: wire.stream(good) if stream else wire.answer(200, kit.whole("x")), n=3)
    assert "sent 1 of the 3 choices asked for: it does not support n > 1" in str(out.error)
    assert not transient(out)
    assert out.ledger.total.completion_tokens == 1


def test_more_choices_than_asked_for(kit: Any) -> None:
    assert "no chat completion" in str(kit.answer(kit.whole("a", "b")).error)


def test_a_server_that_is_none_of_http(kit: Any) -> None:
    out = kit.ask(lambda wire: wire.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    assert "does not speak HTTP" in str(out.error)
    assert not transient(out)


def two_tokens(kit: Any, wire: Any) -> None:
    wire.head(transfer_encoding="chunked")
    wire.piece(kit.events(kit.chunk("a"), kit.chunk("b"), done=False))


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("tokens", [0, 2])
@pytest.mark.parametrize("turns", [0, 20])
def test_a_disconnect(kit: Any, reset: bool, tokens: int, turns: int) -> None:
    async def script(wire: Any) -> None:
        if tokens:
            two_tokens(kit, wire)
        await wire.turns(turns)
        if reset:
            wire.reset()
        raise ConnectionError

    out = kit.ask(script)
    assert transient(out)
    assert f"broke the connection after {tokens} tokens" in str(out.error)
    assert (out.ledger.total.failed, out.ledger.total.completion_tokens) == (1, tokens)


@pytest.mark.parametrize(
    ("options", "tokens", "words"),
    [
        ({"idle_timeout": 0.1}, 2, "fell silent for 0.1 s after 2 tokens"),
        ({"first_timeout": 0.1}, 0, "did not answer within 0.1 s"),
        ({"total_timeout": 0.1}, 2, "took more than total_timeout, 0.1 s, for 2 tokens"),
        ({"total_timeout": 0.1}, 0, "took more than total_timeout, 0.1 s, for 0 tokens"),
    ],
)
def test_a_stall(kit: Any, options: dict[str, float], tokens: int, words: str) -> None:
    gone: list[bool] = []

    async def script(wire: Any) -> None:
        if tokens:
            two_tokens(kit, wire)
        await wire.gone()
        gone.append(True)

    out = kit.ask(script, options)
    assert transient(out)
    assert words in str(out.error)
    assert (out.ledger.total.failed, out.ledger.total.completion_tokens) == (1, tokens)
    assert gone  # the server has seen that nobody listens any more
