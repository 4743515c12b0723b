"""Everything that can go wrong: which error, what it says, what is counted, and that the key is told to nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from k2core import K2Error, TransientError


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, ("bad value", "wrong_api_format", "service_tier"), "it refuses service_tier; fields that model 'loop' refuses"),
        (400, ("not here", "x", "prediction"), 'set predict = "off"'),
        (400, ("Please reduce the length of the messages", "context_length_exceeded", ""), "shorten the prompt"),
        (401, ("Wrong API Key", "wrong_api_key", ""), "check the key in CEREBRAS_API_KEY"),
        (402, ("pay", "", ""), "has to be paid for"),
        (403, ("no", "", ""), "may not do this"),
        (404, ("no such model", "model_not_found", ""), "check model 'loop'"),
        (413, ("too big", "", ""), "shorten the prompt"),
        (422, ("odd", "", ""), "named in omit"),
        (501, ("never", "", ""), "answered 501: never"),
    ],
)
def test_lasting_errors(kit: Any, status: int, body: tuple[str, str, str], words: str) -> None:
    out = kit.ask(lambda wire: wire.answer(status, kit.error_body(*body)), {"attempts": 3})
    assert words in str(out.error)
    assert not isinstance(out.error.__cause__, TransientError)
    assert len(out.server.bodies) == 1
    assert (out.ledger.total.failed, out.ledger.total.tokens) == (1, 0)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_passing_errors_are_tried_again_by_the_kernel_only(kit: Any, status: int) -> None:
    out = kit.ask(lambda wire: wire.answer(status, b"<html><title>Bad</title>"), {"attempts": 3})
    assert f"answered {status}: Bad (3 attempts)" in str(out.error)
    assert len(out.server.bodies) == 3
    assert out.ledger.total.failed == 3


def test_x_should_retry_is_obeyed(kit: Any) -> None:
    out = kit.ask(lambda wire: wire.answer(500, kit.error_body("no"), x_should_retry="false"), {"attempts": 3})
    assert len(out.server.bodies) == 1
    out = kit.ask(lambda wire: wire.answer(400, kit.error_body("again"), x_should_retry="true"), {"attempts": 3})
    assert len(out.server.bodies) == 3


def test_redirects_are_not_followed(kit: Any) -> None:
    out = kit.ask(lambda wire: wire.answer(307, b"", location="http://127.0.0.1:9/"))
    assert "redirects" in str(out.error)


BROKEN = {
    "no JSON": (b'data: {"choices": [{"del\n\n', "broken answer"),
    "no object": (b"data: [1, 2]\n\ndata: [DONE]\n\n", "without a finish reason"),
    "text that is none": (b'data: {"choices": [{"index": 0, "delta": {"content": 5}}]}\n\n', "content is no text"),
    "another choice": (b'data: {"choices": [{"index": 4, "delta": {"content": "x"}}]}\n\n', "choice 4"),
    "bad UTF-8": (b"data: \xff\xfe\n\n", "broken answer"),
    "no stream": (b'{"choices": []}', "without a finish reason"),
    "nothing": (b"", "without a finish reason"),
    "error object": (b'data: {"error": {"message": "out of memory", "code": "500"}}\n\n', "answered 500: out of memory"),
    "error chunk": (
        b'data: {"error": {"message": "late", "code": "queue_exceeded"}, "status_code": 429}\n\n',
        "answered 429: late",
    ),
    "error event": (b'event: error\ndata: {"error": {"message": "boom"}}\n\n', "answered 500: boom"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_streams_are_tried_again_and_their_tokens_counted(kit: Any, name: str) -> None:
    data, words = BROKEN[name]
    tries: list[int] = []

    def script(wire: Any) -> None:
        tries.append(1)
        wire.stream(kit.events(kit.chunk("ab"), done=False), data) if len(tries) == 1 else wire.stream(kit.good("4"))

    out = kit.ask(script, {"attempts": 2})
    assert out.text == "4"
    errors = [event.error for event in out.events if getattr(event, "status", "") == "failed"]
    assert words in errors[0]
    assert (out.ledger.total.failed, out.ledger.total.served, out.ledger.total.completion_tokens) == (1, 1, 2)
    assert out.ledger.total.estimated


def test_a_lasting_error_in_mid_stream(kit: Any) -> None:
    data = b'data: {"error": {"message": "bad", "param": "seed"}, "status_code": 400}\n\n'
    out = kit.stream(kit.events(kit.chunk("ab"), done=False), data, options={"attempts": 3})
    assert "answered 400: bad (it refuses seed" in str(out.error)
    assert len(out.server.bodies) == 1


@pytest.mark.parametrize("how", ["reset", "reset in mid-stream", "close in mid-stream", "not HTTP"])
def test_broken_connections(kit: Any, how: str) -> None:
    async def script(wire: Any) -> None:
        if "mid" in how:
            wire.head(transfer_encoding="chunked")
            wire.piece(kit.events(kit.chunk("ab"), done=False))
            await wire.writer.drain()
            await asyncio.sleep(0.05)
        if how == "not HTTP":
            wire.writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        elif "reset" in how:
            return wire.reset()
        wire.writer.close()

    out = kit.ask(script, {"attempts": 2})
    assert f"broke the connection after {int('mid' in how)} tokens" in str(out.error)
    assert out.ledger.total.failed == 2


def test_nobody_there(kit: Any) -> None:
    async def main() -> str:
        async with kit.runtime("http://127.0.0.1:9") as rt, rt.open("x", seed=1) as run:
            with pytest.raises(K2Error) as caught:
                await run.decode(kit.request())
            return str(caught.value)

    assert "cannot be reached" in asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"first_timeout": 0.2}, "did not answer within 0.2 s"),
        ({"idle_timeout": 0.2}, "fell silent for 0.2 s after 1 tokens"),
        ({"total_timeout": 0.3}, "took more than total_timeout, 0.3 s, for 1 tokens"),
    ],
)
def test_silence(kit: Any, options: dict[str, Any], words: str) -> None:
    async def script(wire: Any) -> None:
        if "first_timeout" not in options:
            wire.head(transfer_encoding="chunked")
            wire.piece(kit.events(kit.chunk("a"), done=False))
        await wire.gone()

    out = kit.ask(script, options)
    assert words in str(out.error)
    assert isinstance(out.error.__cause__, TransientError)


def test_a_garbled_answer_in_one_piece(kit: Any) -> None:
    for body in (b"{", b"[]", b'{"choices": []}', b'"x"'):
        out = kit.ask(lambda wire, body=body: wire.answer(200, body), {"stream": False})
        assert "broken answer" in str(out.error), body
    out = kit.ask(lambda wire: wire.answer(200, b"hello", "text/html"), {"stream": False})
    assert "broken answer" in str(out.error)


# the key


def test_a_missing_key_is_named_before_anything_is_sent(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOP_KEY", raising=False)
    with pytest.raises(K2Error, match="the environment variable LOOP_KEY is not set"):
        kit.stream(b"", options={"api_key_env": "LOOP_KEY"})
    monkeypatch.setenv("LOOP_KEY", "a\nb")
    with pytest.raises(K2Error, match="LOOP_KEY holds characters"):
        kit.stream(b"", options={"api_key_env": "LOOP_KEY"})


@pytest.mark.parametrize("status", [200, 401, 403, 404, 422, 429, 500])
def test_the_key_is_sent_but_never_told(
    kit: Any, status: int, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    data = b"data: {" + kit.key.encode() + b"\n\n"
    body = kit.error_body(f"Incorrect API key {kit.key} " * 20)
    out = kit.ask(lambda wire: wire.answer(status, body) if status != 200 else wire.stream(data))
    told, error = [*capsys.readouterr(), repr(out.events)], out.error
    told += [r.getMessage() for r in caplog.records if r.name.startswith("k2core")]
    while error is not None:
        told += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    assert out.server.headers[0]["authorization"] == f"Bearer {kit.key}"
    assert not any(kit.key in text for text in told)
    assert not any(f"Bearer {kit.key}" in r.getMessage() for r in caplog.records)
