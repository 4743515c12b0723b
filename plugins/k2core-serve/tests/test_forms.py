"""Random runs have OpenAI's published form: texts, reasoning, pipelines and parameters at random, in one piece and streamed.

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

    text, reasoning, finish, usage = "", "", "stop", True

    def answer(self, body: dict[str, Any]) -> web.Response:
        n = body.get("n") or 1
        counts = {"usage": {"prompt_tokens": 5, "completion_tokens": 3 * n}} if self.usage else {}
        events: list[Any] = []
        for i in range(n):
            for field, value in (("reasoning_content", self.reasoning), ("content", self.text)):
                middle = len(value) // 2
                events += [self._chunk(i, {field: part}) for part in (value[:middle], value[middle:]) if part]
            events.append(self._chunk(i, {}, self.finish))
        events.append({"choices": [], **counts})
        data = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
        return web.Response(body=data + b"data: [DONE]\n\n", content_type="text/event-stream")

    def _chunk(self, index: int, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
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
    up.text, up.reasoning, up.finish, up.usage = text, reasoning, finish, usage
    messages = [{"role": "user", "content": "What is 6 times 7?"}]
    options = {"stream_options": {"include_usage": count}} if stream else {}
    answer = world.post(json={"model": model, "messages": messages, "n": n, "stream": stream, **options})
    assert answer.status_code == 200, answer.text
    texts = chunks_of(answer.text, count, n) if stream else whole_of(answer.json())
    assert texts == [text] * n
    answer = world.post("/v1/responses", json={"model": model, "input": messages, "stream": stream})
    assert answer.status_code == 200, answer.text
    response = events_of(answer.text) if stream else answer.json()
    Response.model_validate(response, strict=True)
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    assert "".join(part["text"] for part in parts) == text
    assert response["status"] == ("completed" if finish == "stop" else "incomplete")


def whole_of(data: Any) -> list[str]:
    ChatCompletion.model_validate(data, strict=True)
    return [choice["message"]["content"] for choice in data["choices"]]


def chunks_of(text: str, count: bool, n: int) -> list[str]:
    lines = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    texts = [""] * n
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert bool(chunks[-1].get("usage")) == count
    return texts


def events_of(text: str) -> Any:
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
    for event in events:
        EVENT.validate_python(event, strict=True)
    return events[-1]["response"]
