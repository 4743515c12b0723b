"""The real `openai` client against a real server: responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

REPLY = "<think>I see.</think>Six times seven is \\boxed{42}"
TEXT = "Six times seven is \\boxed{42}"


def replies(body: dict[str, Any]) -> str:
    return '{"answer": 42}' if "response_format" in body else REPLY


@pytest.fixture(scope="module")
def server(shared: Any) -> Iterator[Any]:
    with shared.api_server(replies) as api:
        single = shared.write(shared.SINGLE, "m.toml", url=api.base_url)
        voting = shared.write(shared.VOTING, "vote.toml", url=api.base_url)
        with shared.serve(single, voting) as running:
            running.api = api
            yield running


@pytest.fixture
def client(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_response_in_one_piece(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="m", input="What is 6 times 7?", instructions="Be brief.")
    response = raw.parse()
    Response.model_validate(json.loads(raw.text), strict=True)
    assert response.output_text == TEXT
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].content[0].text == "I see."  # type: ignore[union-attr, index]
    assert response.usage
    assert response.usage.input_tokens == 7
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    assert response.instructions == "Be brief."


def test_events_are_openais_and_in_their_order(client: openai.OpenAI) -> None:
    """Every event validates, numbers go up by one, and every item and part that opens is closed with its whole text."""
    for model in ("m", "vote"):
        adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
        events = list(client.responses.create(model=model, input="What is 6 times 7?", stream=True))
        for event in events:
            adapter.validate_python(event.model_dump(), strict=True)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        kinds = [event.type for event in events]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        assert kinds[-1] == "response.completed"
        assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 2
        deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        done = [event.text for event in events if event.type == "response.output_text.done"]
        assert deltas == TEXT
        assert done == [TEXT]
        last = events[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == TEXT


def test_progress_is_the_summary_and_comes_before_the_answer(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="vote", input="What is 6 times 7?", stream=True))
    kinds = [event.type for event in events]
    assert "response.reasoning_summary_text.delta" in kinds
    assert "response.reasoning_text.delta" in kinds
    first_text = kinds.index("response.output_text.delta")
    assert not any(kind.startswith("response.reasoning") for kind in kinds[first_text:])


def test_the_client_s_own_assembly_of_a_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(model="m", input=[{"role": "user", "content": "What is 6 times 7?"}]) as stream:
        assert stream.get_final_response().output_text == TEXT


def test_a_conversation_with_reasoning_sent_back(client: openai.OpenAI, server: Any) -> None:
    first = client.responses.create(model="m", input="What is 6 times 7?")
    items: list[Any] = [{"role": "user", "content": "What is 6 times 7?"}, *(item.model_dump() for item in first.output)]
    client.responses.create(model="m", input=[*items, {"role": "user", "content": "Sure?"}])
    assert [m["role"] for m in server.api.requests[-1]["messages"]] == ["user", "assistant", "user"]


def test_a_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "integer"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    text: Any = {"format": {"type": "json_schema", "name": "a", "schema": schema, "strict": True}}
    assert json.loads(client.responses.create(model="m", input="6 x 7?", text=text).output_text) == {"answer": 42}


def test_the_asynchronous_client(server: Any) -> None:
    async def main() -> str:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            stream = await client.responses.create(model="m", input="6 x 7?", stream=True)
            return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

    assert asyncio.run(main()) == TEXT


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(server: Any, change: dict[str, Any], param: str) -> None:
    answer = server.post("/v1/responses", json={"model": "m", "input": "6 x 7?", **change})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_parameters_that_are_null_are_not_given(server: Any) -> None:
    from k2core_serve.openai.chat_request import ChatBody
    from k2core_serve.openai.responses_request import ResponsesBody

    messages = [{"role": "user", "content": "6 x 7?"}]
    answer = server.post(json={**dict.fromkeys(ChatBody.model_fields), "model": "m", "messages": messages})
    assert answer.status_code == 200, answer.text
    answer = server.post("/v1/responses", json={**dict.fromkeys(ResponsesBody.model_fields), "model": "m", "input": messages})
    assert answer.status_code == 200, answer.text
