"""Random runs have OpenAI's published form: texts, reasoning, calls, pipelines and parameters at random, whole and streamed.

`K2CORE_SERVE_RUNS=500` makes more of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

RUNS = int(os.environ.get("K2CORE_SERVE_RUNS", "40"))
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Upstream:
    """Says what it is told, in one piece or as events, with a finish reason, and with or without usage."""

    text, reasoning, finish, usage, calls = "", "", "stop", True, 0

    def answer(self, body: dict[str, Any]) -> web.Response:
        n = body.get("n") or 1
        counts = {"usage": {"prompt_tokens": 5, "completion_tokens": 3 * n}} if self.usage else {}
        events: list[Any] = []
        for i in range(n):
            for field, value in (("reasoning_content", self.reasoning), ("content", self.text)):
                middle = len(value) // 2
                events += [self._chunk(i, {field: part}) for part in (value[:middle], value[middle:]) if part]
            for number in range(self.calls):
                start = {"index": number, "id": f"call_{i}_{number}", "function": {"name": "f", "arguments": '{"text": '}}
                more = {"index": number, "function": {"arguments": json.dumps(self.text) + "}"}}
                events += [self._chunk(i, {"tool_calls": [piece]}) for piece in (start, more)]
            events.append(self._chunk(i, {}, self.finish))
        events.append({"choices": [], **counts})
        data = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
        return web.Response(body=data + b"data: [DONE]\n\n", content_type="text/event-stream")

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


@pytest.fixture(scope="module")
def world(shared: Any) -> Iterator[Any]:
    upstream = Upstream()
    with shared.api_server(upstream.answer) as api:
        single = shared.write(shared.SINGLE, "single.toml", url=api.base_url)
        decided = {"config": single, "commit": "decided"}
        voting = shared.write(shared.VOTING, "vote.toml", url=api.base_url)
        with shared.serve(single, voting, models={"decided": decided}) as server:
            server.upstream = upstream
            yield server


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30).filter(lambda text: "<" not in text)


@settings(max_examples=RUNS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_runs_validate(world: Any, data: st.DataObject) -> None:
    text, reasoning, usage, stream, count = (data.draw(kind) for kind in (TEXT, TEXT, st.booleans(), st.booleans(), st.booleans()))
    finish = data.draw(st.sampled_from(["stop", "length", "content_filter"]))
    model, n = data.draw(st.sampled_from(["single", "decided", "vote"])), data.draw(st.integers(1, 3))
    up = world.upstream
    calls = data.draw(st.integers(0, 2)) if finish == "stop" else 0
    up.text, up.reasoning, up.finish, up.usage, up.calls = text, reasoning, finish, usage, calls
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}]} if calls else {}
    flat = {"tools": [{"type": "function", "name": "f"}]} if calls else {}
    messages = [{"role": "user", "content": "What is 6 times 7?"}]
    options = {"stream_options": {"include_usage": count}} if stream else {}
    answer = world.post(json={"model": model, "messages": messages, "n": n, "stream": stream, **options, **tools})
    assert answer.status_code == 200, answer.text
    told = chunks_of(answer.text, count, n) if stream else whole_of(answer.json())
    assert told == [(text, calls, "tool_calls" if calls else finish)] * n
    answer = world.post("/v1/responses", json={"model": model, "input": messages, "stream": stream, **flat})
    assert answer.status_code == 200, answer.text
    response = events_of(answer.text) if stream else answer.json()
    Response.model_validate(response, strict=True)
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    assert "".join(part["text"] for part in parts) == text
    called = [json.loads(item["arguments"]) for item in response["output"] if item["type"] == "function_call"]
    assert called == [{"text": text}] * calls
    assert response["status"] == ("completed" if finish == "stop" else "incomplete")


Told = tuple[str, int, str]
"""Of a choice: its text, how many calls it makes, and its finish reason."""


def whole_of(data: Any) -> list[Told]:
    ChatCompletion.model_validate(data, strict=True)
    choices = [(choice["message"], choice["finish_reason"]) for choice in data["choices"]]
    return [(message["content"] or "", len(message.get("tool_calls", ())), finish) for message, finish in choices]


def chunks_of(text: str, count: bool, n: int) -> list[Told]:
    lines = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    texts, calls, finishes = [""] * n, [0] * n, [""] * n
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
            calls[choice["index"]] += len(choice["delta"].get("tool_calls", ()))
            finishes[choice["index"]] = choice["finish_reason"] or ""
    assert bool(chunks[-1].get("usage")) == count
    return list(zip(texts, calls, finishes, strict=True))


def events_of(text: str) -> Any:
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
    for event in events:
        EVENT.validate_python(event, strict=True)
    return events[-1]["response"]
