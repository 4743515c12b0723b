"""What is asked for: the documented fields, one request a choice, and nothing that does not go together."""

from __future__ import annotations

from typing import Any

import pytest
from k2core_decoder_cerebras import CerebrasConfig

from k2core import Message


def test_the_documented_fields_are_sent(kit: Any) -> None:
    options = {
        "reasoning_effort": "high",
        "service_tier": "flex",
        "queue_threshold": 500,
        "min_tokens": 2,
        "clear_thinking": False,
        "disable_reasoning": False,
        "model_parameters": {"depth": 3},
        "extra": {"user": "me", "novel": 1},
    }
    out = kit.stream(kit.good("4"), options=options, stop=("a", "", "b"), seed=9, temperature=0.5, top_p=0.9, logprobs=2)
    body = out.server.bodies[0]
    assert out.text == "4"
    assert out.server.paths == ["/v1/chat/completions"]
    assert out.server.headers[0]["authorization"] == f"Bearer {kit.key}"
    assert out.server.headers[0]["queue_threshold"] == "500"
    expected = {
        "model": "loop",
        "messages": [{"role": "user", "content": "2+2?"}],
        "max_completion_tokens": 50,
        "min_tokens": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["a", "b"],
        "seed": 9,
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_format": "parsed",
        "reasoning_effort": "high",
        "disable_reasoning": False,
        "clear_thinking": False,
        "service_tier": "flex",
        "model_parameters": {"depth": 3},
        "user": "me",
        "novel": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert body == expected


def test_omitted_fields_are_not_sent(kit: Any) -> None:
    out = kit.stream(kit.good("4"), options={"omit": ["reasoning_format", "stream_options", "seed", "top_p"]}, seed=1)
    assert out.server.bodies[0].keys() == {"model", "messages", "max_completion_tokens", "temperature", "stream"}


def test_choices_are_requests_of_their_own_and_usage_is_their_sum(kit: Any) -> None:
    def script(wire: Any) -> None:
        number = wire.body["seed"] - 40
        wire.stream(kit.good(*["ha "] * number, prompt=7, completion=number))

    out = kit.ask(script, n=3, seed=41)
    assert [c.text for c in out.completions] == ["ha ", "ha ha ", "ha ha ha "]
    assert [c.tokens for c in out.completions] == [1, 2, 3]
    assert [out.streamed(i) for i in range(3)] == [c.text for c in out.completions]
    assert (out.ledger.total.prompt_tokens, out.ledger.total.completion_tokens) == (21, 6)
    assert not out.ledger.total.estimated
    keys = {body.get("prompt_cache_key") for body in out.server.bodies}
    assert len(keys) == 1
    assert None not in keys
    assert all("n" not in body for body in out.server.bodies)


@pytest.mark.parametrize(("choice", "sent"), [("choices", False), ("always", True), ("never", False)])
def test_the_cache_key_of_a_single_choice(kit: Any, choice: str, sent: bool) -> None:
    out = kit.stream(kit.good("4"), options={"cache_key": choice})
    assert ("prompt_cache_key" in out.server.bodies[0]) == sent


def test_five_stop_strings_and_continuations_are_refused(kit: Any) -> None:
    out = kit.stream(kit.good("4"), stop=tuple("abcde"))
    assert "at most 4 stop strings" in str(out.error)
    turns = (Message(role="user", content="2+2?"), Message(role="assistant", content="It is"))
    out = kit.stream(kit.good("4"), messages=turns, continue_last=True)
    assert "documents no way to" in str(out.error)
    assert out.server.bodies == []
    turns = (turns[0], Message(role="assistant", content=""))
    out = kit.stream(kit.good("4"), messages=turns, continue_last=True)
    assert len(out.server.bodies[0]["messages"]) == 1


CLOSED = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"], "additionalProperties": False}


def test_schemas_are_strict_where_they_qualify(kit: Any) -> None:
    out = kit.stream(kit.good("{}"), json_schema=CLOSED)
    form = out.server.bodies[0]["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": CLOSED}}
    assert out.warnings == []
    out = kit.stream(kit.good("{}"), json_schema={**CLOSED, "required": []}, options={"reasoning_format": "raw"})
    assert out.server.bodies[0]["response_format"]["json_schema"]["strict"] is False
    assert out.server.bodies[0]["reasoning_format"] == "parsed"
    assert [("not strict" in w, '"raw" left out' in w) for w in out.warnings] == [(False, True), (True, False)]


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_address_may_end_in_v1(tail: str) -> None:
    assert CerebrasConfig(model="m", base_url="http://host:1/proxy" + tail).base_url == "http://host:1/proxy"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "ftp://x"}, "http:// or https://"),
        ({"base_url": "https://me:pw@x"}, "no user or password"),
        ({"base_url": "https://x?key=1"}, "no \\?query"),
        ({"base_url": "https://x:99999"}, "[Pp]ort"),
        ({"extra": {"n": 2}}, "'n' is set elsewhere"),
        ({"extra": {"x": object()}}, "cannot be sent as JSON"),
        ({"model": " "}, "must not be empty"),
        ({"queue_threshold": 5}, "greater than or equal to 50"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CerebrasConfig(**{"model": "m", **options})
