"""The parts that need no server: events, halves of characters, request bodies, configuration."""

from __future__ import annotations

import datetime
import itertools
import json
import random
import subprocess
import sys
from typing import Any

import pytest
from k2core_decoder_openai import OpenAIConfig
from k2core_decoder_openai.body import body_of
from k2core_decoder_openai.failure import retry_after
from k2core_decoder_openai.sse import LONGEST_EVENT, BrokenStream, SSEParser
from k2core_decoder_openai.surrogates import SurrogateJoiner

from k2core import DecodeRequest, Message

STREAM = (
    "\ufeff: a comment\r\ndata: {\"a\": \"Grüße 🎉\"}\r\n\r\nevent: message\nid: 7\nretry: 10\ndata:two\ndata: lines\n\n"
    "data: carriage\r\rdata\n\nevent: error\ndata: {\"message\": \"no\"}\n\nerror: 1\n\ndata: last"
).encode()  # fmt: skip
EVENTS = ['{"a": "Grüße 🎉"}', "two\nlines", "carriage", '{"error":{"message": "no"}}', '{"error": 1}', "last"]


def parse(pieces: list[bytes]) -> list[str]:
    parser = SSEParser()
    out = [event for piece in pieces for event in parser.feed(piece)]
    return [event.decode() for event in [*out, *parser.end()]]


def test_a_stream_reads_the_same_however_it_is_cut() -> None:
    assert parse([STREAM]) == EVENTS
    assert parse([bytes([b]) for b in STREAM]) == EVENTS
    rng = random.Random(1)
    for _ in range(300):
        cuts = sorted(rng.sample(range(len(STREAM)), rng.randint(1, 12)))
        assert parse([STREAM[a:b] for a, b in itertools.pairwise([0, *cuts, len(STREAM)])]) == EVENTS


@pytest.mark.parametrize("line", [b"data: ", b": ", b"", b"data: x\ndata: "])
def test_an_endless_event_is_refused(line: bytes) -> None:
    with pytest.raises(BrokenStream, match="more than"):
        parse([line, *[b"x" * 2**16] * (LONGEST_EVENT // 2**16 + 1)])


def test_many_small_data_lines_of_one_event_are_bounded_too() -> None:
    with pytest.raises(BrokenStream, match="more than"):
        parse([b"data: " + b"x" * 1000 + b"\n"] * (LONGEST_EVENT // 1000 + 2))


def test_a_long_stream_of_events_is_not() -> None:
    parser, piece = SSEParser(), b"data: " + b"x" * 2**16 + b"\n\n"
    assert sum(len(list(parser.feed(piece))) for _ in range(LONGEST_EVENT // 2**16 + 10)) == LONGEST_EVENT // 2**16 + 10


def test_a_line_that_is_no_field_is_kept_for_the_error() -> None:
    parser = SSEParser()
    assert list(parser.feed(b'{"object": "error"}\ndata: x\n\n')) == [b"x"]
    assert parser.stray == b'{"object": "error"}'


def test_halves_of_a_character_are_joined_and_lone_ones_replaced() -> None:
    joiner = SurrogateJoiner()
    assert [joiner.feed(t) for t in ("a\ud83c", "\udf89b", "\udf89", "c\ud83c")] == ["a", "🎉b", "\ufffd", "c"]
    assert joiner.feed("d") == "\ufffdd"
    assert (joiner.feed("\ud83c"), joiner.end(), joiner.end()) == ("", "\ufffd", "")


def body(config: OpenAIConfig, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(body_of(DecodeRequest(messages=(Message(role="user", content="ü"),), **fields), config))
    return made


def test_a_plain_body_writes_every_sampling_setting() -> None:
    assert body(OpenAIConfig()) == {
        "messages": [{"role": "user", "content": "ü"}],
        "n": 1,
        "max_tokens": 1024,
        "temperature": 1.0,
        "top_p": 1.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_full_body() -> None:
    config = OpenAIConfig(
        model="m", stream=False, max_tokens_field="max_completion_tokens", extra={"top_k": 4, "top_p": 0.5}, omit=("temperature",)
    )
    made = body(config, n=3, stop=("a", "b"), seed=7, logprobs=2, max_tokens=9, temperature=0.1, top_p=0.9)
    assert made == {
        "messages": [{"role": "user", "content": "ü"}],
        "model": "m",
        "n": 3,
        "max_completion_tokens": 9,
        "top_p": 0.5,
        "stream": False,
        "stop": ["a", "b"],
        "seed": 7,
        "logprobs": True,
        "top_logprobs": 2,
        "top_k": 4,
    }


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, False),
        ({"type": "array", "items": {"type": "object", "properties": {}}}, False),
        ({"anyOf": [{"type": "string"}, {"type": "object", "properties": {"x": {}}}]}, False),
        ({"type": "string", "enum": ["object"]}, True),
    ],
)
def test_a_schema_is_strict_where_openai_accepts_it_as_such(schema: dict[str, Any], strict: bool) -> None:
    answer = {"name": "answer", "schema": schema, "strict": strict}
    assert body(OpenAIConfig(), json_schema=schema)["response_format"] == {"type": "json_schema", "json_schema": answer}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:05 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 5.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:00 GMT", "date": "Mon, 23 Nov 2026 10:00:05 GMT"}, 0.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "ftp://host/v1"}, "http:// or https://"),
        ({"base_url": "localhost:8000"}, "http:// or https://"),
        ({"base_url": "http:///v1"}, "http:// or https://"),
        ({"base_url": "https://me:pw@host/v1"}, "no user or password"),
        ({"base_url": "https://host/v1?key=x"}, "no .query"),
        ({"base_url": "https://host:99999/v1"}, "[Pp]ort"),
        ({"base_url": "https://host/v1/chat/completions/"}, "before /chat/completions"),
        ({"headers": {"Authorization": "Bearer x"}}, "looks like a secret"),
        ({"headers": {"X-API-Key": "x"}}, "looks like a secret"),
        ({"extra": {"n": 2}}, "is the kernel's"),
        ({"extra": {"day": datetime.date(2026, 1, 1)}}, "cannot be sent as JSON"),
        ({"think_tags": ("", "x")}, "non-empty"),
        ({"idle_timeout": 0}, "greater than 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenAIConfig(**options)


def test_importing_the_plugin_imports_no_http_client() -> None:
    code = "import sys, k2core_decoder_openai; print([m for m in ('aiohttp', 'yarl') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


UNFINISHED = (Message(role="user", content="2+2?"), Message(role="assistant", content="2+2 is"))


def sent(mode: str, messages: tuple[Message, ...] = UNFINISHED, **fields: Any) -> dict[str, Any]:
    request = DecodeRequest(messages=messages, continue_last=True, **fields)
    body: dict[str, Any] = json.loads(body_of(request, OpenAIConfig.model_validate({"continue_last": mode})))
    return body


def test_an_unfinished_turn_is_continued_in_the_servers_own_way() -> None:
    vllm, llamacpp = sent("vllm"), sent("llamacpp")
    assert (vllm["continue_final_message"], vllm["add_generation_prompt"]) == (True, False)
    assert not {"continue_final_message", "add_generation_prompt"} & set(llamacpp)
    assert vllm["messages"] == llamacpp["messages"] == [{"role": m.role, "content": m.content} for m in UNFINISHED]


def test_nothing_to_continue_is_an_ordinary_request() -> None:
    body = sent("vllm", (UNFINISHED[0], Message(role="assistant", content="")))
    assert body["messages"] == [{"role": "user", "content": "2+2?"}]
    assert "continue_final_message" not in body


def test_continuing_is_refused_where_it_cannot_be_done() -> None:
    with pytest.raises(ValueError, match='set it to "vllm"'):
        sent("none")
    with pytest.raises(ValueError, match="only an assistant's turn"):
        sent("vllm", UNFINISHED[:1])
