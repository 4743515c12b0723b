"""The real `openai` client brings tools: they reach the solver, its calls come back, and what came of them is sent on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": PARAMETERS}}
FLAT = {"type": "function", "name": "weather", "description": "Of a city.", "parameters": PARAMETERS, "strict": True}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ASKED = {"model": "m", "messages": [{"role": "user", "content": "What is the weather in Oslo?"}], "tools": [WEATHER]}


class Upstream:
    """A model that calls the weather of the cities in turn, in pieces, until it is told what came of it."""

    def __init__(self) -> None:
        self.cities = itertools.cycle(["Oslo"])
        self.say = ""
        self.bodies: list[Any] = []
        self._ids = itertools.count()

    def answer(self, body: dict[str, Any]) -> web.Response:
        self.bodies.append(body)
        told = body["messages"][-1]
        if told["role"] == "tool" or "tools" not in body:
            return self._stream({"content": f"It is: {told['content']}"}, finish="stop")
        city, number = next(self.cities), next(self._ids)
        pieces = ['{"city"', ":" + " " * (number % 2), f'"{city}"', "}"]
        calls = [{"index": 0, "id": f"call_{number}", "type": "function", "function": {"name": "weather", "arguments": ""}}]
        calls += [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
        said = [{"content": self.say}] if self.say else []
        return self._stream(*said, *({"tool_calls": [call]} for call in calls), finish="tool_calls")

    def _stream(self, *deltas: Any, finish: str) -> web.Response:
        events: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        events.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": len(deltas)}})
        data = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
        return web.Response(body=data + b"data: [DONE]\n\n", content_type="text/event-stream")


@pytest.fixture(scope="module")
def world(shared: Any) -> Iterator[Any]:
    upstream = Upstream()
    with shared.api_server(lambda body: upstream.answer(body)) as api:
        single = shared.write(shared.SINGLE, "m.toml", url=api.base_url)
        voting = shared.write(shared.VOTING, "vote.toml", url=api.base_url)
        cannot = shared.write(shared.SINGLE.replace('use = "openai"\nbase_url = "{url}"', 'use = "no-tools"'), "cannot.toml")
        with shared.serve(single, voting, cannot) as server:
            server.upstream = upstream
            yield server


@pytest.fixture
def upstream(world: Any) -> Any:
    world.upstream.__init__()
    return world.upstream


@pytest.fixture
def client(world: Any, upstream: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{world.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_call_comes_back_and_its_outcome_is_sent_on(client: openai.OpenAI, upstream: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(**ASKED, tool_choice="required", parallel_tool_calls=False)
    answer = raw.parse()
    ChatCompletion.model_validate(json.loads(raw.text), strict=True)
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls or ()
    assert call.type == "function"
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_0", "weather", {"city": "Oslo"})
    assert upstream.bodies[0]["tools"] == [WEATHER]
    assert (upstream.bodies[0]["tool_choice"], upstream.bodies[0]["parallel_tool_calls"]) == ("required", False)
    outcome = {"role": "tool", "tool_call_id": call.id, "content": "3 degrees"}
    messages = [*ASKED["messages"], choice.message.model_dump(exclude_none=True, exclude={"k2core"}), outcome]
    last = client.chat.completions.create(**{**ASKED, "messages": messages})
    assert (last.choices[0].message.content, last.choices[0].finish_reason) == ("It is: 3 degrees", "stop")
    _, assistant, tool = upstream.bodies[1]["messages"]
    assert assistant["tool_calls"] == [call.model_dump()]
    assert assistant["content"] is None
    assert tool == outcome


@pytest.mark.parametrize("say", ["", "I look it up."])
def test_a_stream_has_the_calls_at_its_end_and_whole(client: openai.OpenAI, upstream: Any, say: str) -> None:
    upstream.say = say
    chunks = list(client.chat.completions.create(**ASKED, stream=True))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == say
    ((call,),) = [delta.tool_calls for delta in deltas if delta.tool_calls]
    assert call.function
    assert (call.index, call.id, call.function.name, call.function.arguments) == (0, "call_0", "weather", '{"city":"Oslo"}')
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_clients_own_helper_for_streams_puts_the_call_together(client: openai.OpenAI) -> None:
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]
    with client.chat.completions.stream(**{**ASKED, "tools": [strict]}) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or ()
    assert call.function.parsed_arguments == {"city": "Oslo"}


def test_candidates_vote_on_calls_and_nothing_is_sent_before_the_decision(client: openai.OpenAI, upstream: Any) -> None:
    upstream.cities = itertools.cycle(["Rome", "Oslo", "Oslo"])
    chunks = list(client.chat.completions.create(**{**ASKED, "model": "vote"}, stream=True))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    told = [place for place, delta in enumerate(deltas) if getattr(delta, "reasoning_content", None)]
    ((at, call),) = [(place, delta.tool_calls[0]) for place, delta in enumerate(deltas) if delta.tool_calls]
    assert at > max(told)
    assert call.function
    assert json.loads(call.function.arguments or "") == {"city": "Oslo"}
    whole = client.chat.completions.create(**{**ASKED, "model": "vote"})
    assert json.loads(whole.choices[0].message.k2core["answer"]) == [  # type: ignore[attr-defined]
        {"name": "weather", "arguments": {"city": "Oslo"}}
    ]
    assert "highest score 0.67" in whole.choices[0].message.k2core["decision"]  # type: ignore[attr-defined]


def test_several_choices_each_have_their_calls(client: openai.OpenAI, upstream: Any) -> None:
    upstream.cities = itertools.cycle(["Rome", "Oslo"])
    answer = client.chat.completions.create(**ASKED, n=2)
    cities = [json.loads((choice.message.tool_calls or ())[0].function.arguments)["city"] for choice in answer.choices]  # type: ignore[union-attr]
    assert sorted(cities) == ["Oslo", "Rome"]


def test_a_schema_is_for_answers_and_not_for_calls(client: openai.OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert client.chat.completions.create(**ASKED, response_format=form).choices[0].finish_reason == "tool_calls"  # type: ignore[call-overload]


def test_a_pipeline_that_cannot_call_tools_says_so_at_once(client: openai.OpenAI, world: Any) -> None:
    for options in ({}, {"stream": True}):
        with pytest.raises(openai.BadRequestError, match="can call tools") as caught:
            client.chat.completions.create(**{**ASKED, "model": "cannot", **options})
        assert (caught.value.param, caught.value.code) == ("tools", "unsupported_parameter")
    assert 'k2core_runs_total{model="cannot"' not in world._client.get(f"{world.url}/metrics").text
    assert {m.id: m.k2core["tools"] for m in client.models.list()} == {"m": True, "vote": True, "cannot": False}  # type: ignore[attr-defined]


def test_a_response_with_a_call_and_the_next_with_its_outcome(client: openai.OpenAI, upstream: Any) -> None:
    upstream.say = "I look."
    raw = client.responses.with_raw_response.create(model="m", input="Oslo?", tools=[FLAT])  # type: ignore[list-item]
    first = raw.parse()
    Response.model_validate(json.loads(raw.text), strict=True)
    message, call = first.output
    assert (message.type, first.output_text, first.status, call.type) == ("message", "I look.", "completed", "function_call")
    assert (call.call_id, call.name, json.loads(call.arguments)) == ("call_0", "weather", {"city": "Oslo"})
    assert first.parallel_tool_calls
    assert upstream.bodies[0]["tools"] == [{**WEATHER, "function": {**WEATHER["function"], "strict": True}}]  # type: ignore[dict-item]
    items = [{"role": "user", "content": "Oslo?"}, *(item.model_dump(exclude_none=True) for item in first.output)]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "3 degrees"})
    last = client.responses.create(model="m", input=items, tools=[FLAT])  # type: ignore[arg-type, list-item]
    assert last.output_text == "It is: 3 degrees"
    _, assistant, tool = upstream.bodies[1]["messages"]
    assert (assistant["content"], assistant["tool_calls"][0]["id"]) == ("I look.", "call_0")
    assert tool == {"role": "tool", "content": "3 degrees", "tool_call_id": "call_0"}


def test_the_events_of_a_response_with_a_call(client: openai.OpenAI) -> None:
    choice = {"type": "function", "name": "weather"}
    events = list(client.responses.create(model="m", input="Oslo?", tools=[FLAT], tool_choice=choice, stream=True))  # type: ignore[call-overload]
    for event in events:
        EVENT.validate_python(event.model_dump(), strict=True)
    kinds = [event.type for event in events]
    assert kinds[2:] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert json.loads(events[-3].arguments) == {"city": "Oslo"}
    assert [item.type for item in events[-1].response.output] == ["function_call"]


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "not a name"}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [WEATHER["function"]]}, "functions"),
        ({"messages": [{"role": "user", "content": "x"}, CALL]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, CALL, {"role": "user", "content": "y"}]}, "messages[2]"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "y", "tool_call_id": "b"}]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}]}, "messages[1].tool_call_id"),
        ({"messages": [{**CALL, "role": "user", "content": "x"}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None}]}, "messages[1].content"),
    ],
)
def test_what_is_no_tool_or_no_history_of_calls(world: Any, changes: Any, param: str) -> None:
    answer = world.post(json={"model": "m", "messages": [{"role": "user", "content": "x"}], **changes})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"].startswith(param)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [FLAT], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "", "arguments": "{}"}]}, "input[0].name"),
        ({"input": [{"type": "function_call_output", "call_id": "a", "output": "x"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ],
)
def test_the_same_of_responses(world: Any, changes: Any, param: str) -> None:
    answer = world.post("/v1/responses", json={"model": "m", "input": "x", **changes})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"].startswith(param)


def test_the_loop_in_the_how_to(world: Any, upstream: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "howto" / "serve.md").read_text(encoding="utf-8")
    (block,) = [text for text in page.split("```python\n")[1:] if "def answered" in text]
    code = block.partition("```")[0].replace("http://127.0.0.1:8000", world.url).replace('model="math"', 'model="m"')
    names: dict[str, Any] = {}
    exec(code, names)  # the page's own
    assert names["answered"]("Oslo?", [WEATHER], lambda name, given: f"{name} of {given['city']}: 3") == "It is: weather of Oslo: 3"
