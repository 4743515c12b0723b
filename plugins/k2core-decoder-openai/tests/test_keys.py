"""Keys come from the environment and are told to nobody but the endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from k2core_decoder_openai import OpenAIConfig, OpenAIDecoder

from k2core import K2Error


def error_json(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


def test_a_missing_key_is_named_before_anything_is_sent(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOP_KEY", raising=False)
    with pytest.raises(K2Error, match="the environment variable LOOP_KEY is not set"):
        kit.ask(lambda wire: None, {"api_key_env": "LOOP_KEY"})
    monkeypatch.setenv("LOOP_KEY", "a\nb")
    with pytest.raises(K2Error, match="LOOP_KEY holds characters"):
        kit.ask(lambda wire: None, {"headers_env": {"X-Key": "LOOP_KEY"}})


SECRET = "sk-0123456789-very-secret"


@pytest.mark.parametrize("status", [200, 401, 403, 404, 422, 429, 500])
def test_the_key_is_sent_but_never_told(
    kit: Any, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOP_KEY", f" {SECRET}\n")
    monkeypatch.setenv("LOOP_ORG", "org-" + SECRET[::-1])
    caplog.set_level(0)
    body = error_json(f"Incorrect API key Bearer {SECRET} of org-{SECRET[::-1]} " * 20) if status != 200 else SECRET.encode()
    out = kit.ask(lambda wire: wire.answer(status, body), {"api_key_env": "LOOP_KEY", "headers_env": {"X-Org": "LOOP_ORG"}})
    assert out.server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert out.server.headers[0]["x-org"] == "org-" + SECRET[::-1]
    told, error = [caplog.text, *capsys.readouterr(), repr(out.deltas)], out.error
    while error is not None:
        told += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    for secret in (SECRET, SECRET[::-1]):
        assert not any(secret in text for text in told)
    if status == 401:
        assert "check the key in LOOP_KEY" in str(out.error)


def test_the_key_is_in_no_repr_and_no_trace(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOP_KEY", SECRET)

    async def look() -> str:
        decoder = OpenAIDecoder(OpenAIConfig(api_key_env="LOOP_KEY"))
        await decoder.k2_start()
        seen = repr(decoder) + repr(decoder.config) + repr(decoder._transport) + repr(decoder._fail)
        await decoder.k2_stop()
        async with kit.runtime("http://127.0.0.1:9/v1", api_key_env="LOOP_KEY") as rt:
            return seen + repr(rt) + repr(rt.effective)

    seen = asyncio.run(look())
    assert "LOOP_KEY" in seen
    assert SECRET not in seen


def test_a_decoder_that_was_not_started(kit: Any) -> None:
    decoder = OpenAIDecoder()
    with pytest.raises(RuntimeError, match="has not been started"):
        asyncio.run(decoder.k2_decode(None, kit.request()))  # type: ignore[arg-type] # it does not get as far as the run
