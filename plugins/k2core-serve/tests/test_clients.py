"""Other people's clients, unmodified: litellm and llm. They are heavy: `make clients` runs this in an environment of its own."""

from __future__ import annotations

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
