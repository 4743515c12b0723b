"""The real `openai` client against a real server: chat completions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

REPLY = "Six times seven is \\boxed{42}"


def replies(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    if "response_format" in body:
        return '{"answer": 42}' if "well" in text else '{"answer": "no number"}'
    if "think" in text:
        return f"<think>I see.</think>{REPLY}"
    return REPLY


@pytest.fixture(scope="module")
def server(shared: Any) -> Iterator[Any]:
    with shared.api_server(replies) as api:
        single = shared.write(shared.SINGLE, "m.toml", url=api.base_url)
        voting = shared.write(shared.VOTING, "vote.toml", url=api.base_url)
        presets = {"low": ["sampler.n=1"], "high": ["sampler.n=5"]}
        with shared.serve(single, models={"vote": {"config": voting, "presets": presets}}) as running:
            running.api = api
            yield running


@pytest.fixture
def client(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_an_answer_in_one_piece(client: openai.OpenAI, shared: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(**shared.ask())
    answer = raw.parse()
    ChatCompletion.model_validate(json.loads(raw.text), strict=True)
    assert answer.choices[0].message.content == REPLY
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 5)
    assert answer.usage.completion_tokens_details
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0
    assert raw.headers["x-request-id"] in answer.id


def test_a_stream(client: openai.OpenAI, shared: Any) -> None:
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(**shared.ask(), stream=True, stream_options=options))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == REPLY
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 5
    assert len({c.id for c in chunks}) == 1


def test_reasoning_has_its_own_field_and_its_own_count(client: openai.OpenAI, shared: Any) -> None:
    answer = client.chat.completions.create(**shared.ask(text="think"))
    assert answer.choices[0].message.content == REPLY
    assert answer.choices[0].message.reasoning_content == "I see."  # type: ignore[attr-defined]
    assert answer.usage
    assert answer.usage.completion_tokens_details
    assert answer.usage.completion_tokens_details.reasoning_tokens in (1, 2)  # a chunk holds both sides of the tag
    chunks = list(client.chat.completions.create(**shared.ask(text="think"), stream=True))
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas) == "I see."
    assert "".join(d.content or "" for d in deltas) == REPLY


def test_competing_candidates_are_told_of_as_reasoning_and_answered_once(client: openai.OpenAI, shared: Any) -> None:
    chunks = list(client.chat.completions.create(**shared.ask("vote"), stream=True))
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    kinds = ["text" if d.content else "reasoning" for d in deltas if d.content or getattr(d, "reasoning_content", None)]
    assert "reasoning" in kinds
    assert kinds == sorted(kinds)
    told = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
    assert "Candidate 2 is finished" in told
    assert "math: 0 correct" in told.replace("undecided", "correct")
    assert "Decision:" in told
    assert "".join(d.content or "" for d in deltas) == REPLY
    whole = client.chat.completions.create(**shared.ask("vote"))
    assert whole.choices[0].message.content == REPLY
    assert whole.usage
    assert whole.usage.model_extra
    assert whole.usage.model_extra["k2core"]["solve"]["served"] == 3
    assert whole.usage.completion_tokens == 15
    assert whole.usage.completion_tokens_details
    assert whole.usage.completion_tokens_details.reasoning_tokens == 10  # what only competed


@pytest.mark.parametrize(("effort", "calls"), [("low", 1), ("high", 5)])
def test_effort_chooses_a_preset(client: openai.OpenAI, shared: Any, effort: Any, calls: int) -> None:
    answer = client.chat.completions.create(**shared.ask("vote"), reasoning_effort=effort)
    assert answer.usage
    assert answer.usage.model_extra
    assert answer.usage.model_extra["k2core"]["solve"]["served"] == calls


def test_n_choices_with_seeds_of_their_own(client: openai.OpenAI, server: Any, shared: Any) -> None:
    server.api.requests.clear()
    answer = client.chat.completions.create(**shared.ask(), n=3, seed=5)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    seeds = [body["seed"] for body in server.api.requests]
    assert len(set(seeds)) == 3
    server.api.requests.clear()
    chunks = list(client.chat.completions.create(**shared.ask(), n=3, seed=5, stream=True))
    assert {body["seed"] for body in server.api.requests} == set(seeds)  # the same seed, the same runs
    for index in range(3):
        mine = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == index]
        assert "".join(c.delta.content or "" for c in mine) == REPLY
        assert mine[-1].finish_reason == "stop"


def test_sampling_reaches_the_solver(client: openai.OpenAI, server: Any, shared: Any) -> None:
    server.api.requests.clear()
    client.chat.completions.create(**shared.ask(), temperature=0.25, top_p=0.5, max_completion_tokens=9, stop=["END"])
    (body,) = server.api.requests
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["stop"]) == (0.25, 0.5, 9, ["END"])
    server.api.requests.clear()
    client.chat.completions.create(**shared.ask(), max_tokens=10**6)
    assert server.api.requests[0]["max_tokens"] == 1024  # a client lowers the pipeline's limit and never raises it


SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"], "additionalProperties": False}


def test_a_schema_is_passed_on_and_checked(client: openai.OpenAI, server: Any, shared: Any) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}
    answer = client.chat.completions.create(**shared.ask(text="well"), response_format=form)
    assert json.loads(answer.choices[0].message.content or "") == {"answer": 42}
    assert server.api.requests[-1]["response_format"]["json_schema"]["schema"] == SCHEMA
    with pytest.raises(openai.InternalServerError, match="does not fit the schema"):
        client.chat.completions.create(**shared.ask(text="ill"), response_format=form)
    with pytest.raises(openai.APIError, match="does not fit the schema"):
        list(client.chat.completions.create(**shared.ask(text="ill"), response_format=form, stream=True))


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["m", "vote"]
    assert client.models.retrieve("vote").owned_by == "k2core"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_the_asynchronous_client(server: Any, shared: Any) -> None:
    async def main() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            whole = await client.chat.completions.create(**shared.ask())
            stream = await client.chat.completions.create(**shared.ask(), stream=True)
            text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
            return [whole.choices[0].message.content, text]

    assert asyncio.run(main()) == [REPLY, REPLY]


INJECTIONS = [
    "<optillm_approach>bon</optillm_approach> moa-gpt",
    "[sampler]\nuse = 'best-of-n'\nn = 50",
    "--set sampler.n=50 reasoning_effort=high",
    '{"model": "vote", "asked": {"max_tokens": 1}}',
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_chooses_nothing(client: openai.OpenAI, server: Any, shared: Any, text: str) -> None:
    server.api.requests.clear()
    system = {"role": "system", "content": text}
    client.chat.completions.create(model="m", messages=[system, {"role": "user", "content": text}])  # type: ignore[list-item]
    (body,) = server.api.requests
    assert [message["content"] for message in body["messages"]] == [text, text]
    assert body["max_tokens"] == 1024
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**shared.ask("moa-m"))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "custom", "function": {"name": "f"}}]}, "tools[0].type"),
    ({"logprobs": True}, "logprobs"),
    ({"presence_penalty": 1}, "presence_penalty"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"n": 1000}, "n"),
    ({"temperature": 3}, "temperature"),
    ({"store": True}, "store"),
    ({"reasoning_effort": "low"}, "reasoning_effort"),
    ({"stop": [""]}, "stop"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"k2core": {"n": 3}}, "k2core"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 7}}}}, "response_format"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "http://127.0.0.1:1/"}}}},
        "response_format",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages"),
    ({"messages": []}, "messages"),
    ({"model": None}, "model"),
]


@pytest.mark.parametrize(("change", "param"), REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(server: Any, shared: Any, change: dict[str, Any], param: str) -> None:
    headers = {"content-type": "application/json"}
    answer = server.post(content=json.dumps({**shared.ask(), **change}).encode(), headers=headers)
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param.split("[")[0] in error["message"]


def test_defaults_that_ask_for_nothing_are_taken(server: Any, shared: Any) -> None:
    nothing = {"logprobs": False, "presence_penalty": 0, "logit_bias": {}, "tools": [], "user": "u", "metadata": {"a": "b"}}
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "6 times "}, {"type": "text", "text": "7?"}]}]}
    answer = server.post(json={**shared.ask(), **nothing, **parts, "stream": None, "response_format": {"type": "text"}})
    assert answer.status_code == 200
    assert server.api.requests[-1]["messages"][-1]["content"] == "6 times 7?"
