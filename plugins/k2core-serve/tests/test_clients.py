"""Other people's clients, unmodified: litellm, llm, schemathesis. They are heavy: `make clients` has an environment for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

REPLY = "Six times seven is 42"


@pytest.fixture(scope="module")
def server(shared: Any) -> Iterator[Any]:
    with shared.api_server(lambda body: REPLY) as api, shared.serve(shared.write(shared.SINGLE, url=api.base_url)) as running:
        yield running


@pytest.mark.filterwarnings("ignore")
def test_litellm(server: Any) -> None:
    litellm = pytest.importorskip("litellm")
    options = {"model": "openai/m", "api_base": f"{server.url}/v1", "api_key": "none"}
    messages = [{"role": "user", "content": "What is 6 times 7?"}]
    whole = litellm.completion(messages=messages, **options)
    assert whole.choices[0].message.content == REPLY
    assert whole.usage.completion_tokens == 5
    chunks = list(litellm.completion(messages=messages, stream=True, **options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == REPLY
    response = litellm.responses(input="What is 6 times 7?", **options)
    assert REPLY in str(response.output)


@pytest.mark.filterwarnings("ignore")
def test_litellm_with_tools(shared: Any) -> None:
    """A call comes back, streamed and not, in litellm's own form."""
    litellm = pytest.importorskip("litellm")
    from aiohttp import web

    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}

    def calls(body: dict[str, Any]) -> web.Response:
        assert body["tools"][0]["function"]["name"] == "weather"
        chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
        data = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
        return web.Response(body=data, content_type="text/event-stream")

    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    messages = [{"role": "user", "content": "Oslo?"}]
    # a file of its own: `server` would take over what is written to the other
    with shared.api_server(calls) as api, shared.serve(shared.write(shared.SINGLE, "tools.toml", url=api.base_url)) as running:
        options = {
            "model": "openai/tools",
            "api_base": f"{running.url}/v1",
            "api_key": "none",
            "messages": messages,
            "tools": tools,
        }
        whole = litellm.completion(**options)
        whole_again = litellm.stream_chunk_builder(list(litellm.completion(**options, stream=True)))
    for answer in (whole, whole_again):
        (made,) = answer.choices[0].message.tool_calls
        assert (made.function.name, json.loads(made.function.arguments)) == ("weather", {"city": "Oslo"})
        assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.filterwarnings("ignore")
def test_schemathesis(server: Any) -> None:
    """Requests made from the description, right and wrong ones: no answer is a server's error or one that is not described."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    def check(operation: Any) -> None:
        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            answer = case.call(base_url=server.url)
            assert answer.status_code < 500, answer.text
            assert str(answer.status_code) in operation.definition.raw["responses"]

        ask()

    for found in schemathesis.openapi.from_url(f"{server.url}/openapi.json").get_all_operations():
        check(found.ok())


def test_llm(server: Any, shared: Any) -> None:
    pytest.importorskip("llm")
    (shared.folder / "extra-openai-models.yaml").write_text(
        f"- model_id: k2\n  model_name: m\n  api_base: {server.url}/v1\n  api_key_name: none\n"
    )
    env = {**os.environ, "LLM_USER_PATH": str(shared.folder), "OPENAI_API_KEY": "none"}
    for options in ([], ["--no-stream"]):
        command = [sys.executable, "-m", "llm", "-m", "k2", "--key", "none", *options, "What is 6 times 7?"]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
        assert done.stdout.strip() == REPLY, done.stderr
