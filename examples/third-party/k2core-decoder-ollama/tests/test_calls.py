"""What is sent, what is made of the answer, and what becomes of every fault."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from k2core_decoder_ollama import Ollama, OllamaConfig
from pydantic import ValidationError

from k2core import Completion, DecodeRequest, Message, PipelineConfig, Problem, Registry, Runtime, Usage
from k2core.events import Delta
from k2core.testing import EventRecorder, FakeSampler


@dataclass
class Outcome:
    completions: Sequence[Completion] = ()
    error: Exception | None = None
    usage: Usage = field(default_factory=Usage)
    deltas: list[Delta] = field(default_factory=list)


def request(**fields: Any) -> DecodeRequest:
    return DecodeRequest(**{"messages": (Message(role="user", content="2 + 2?"),), "max_tokens": 50, "seed": 5, **fields})


def runtime(url: str, attempts: int = 1, **options: Any) -> Runtime:
    registry = Registry()
    registry.add("decoder", "ollama", Ollama)
    registry.add("sampler", "fake", FakeSampler)
    registry.add("hook", "recorder", EventRecorder)
    decoder = {"use": "ollama", "base_url": url, "model": "test", **options}
    tables = {"sampler": {"use": "fake"}, "decoders": {"solver": decoder}, "hooks": {"recorder": {}}}
    return Runtime(PipelineConfig.from_dict({**tables, "retry": {"attempts": attempts, "base": 0.0}}), registry=registry)


async def asked(url: str, asking: DecodeRequest, attempts: int = 1, **options: Any) -> Outcome:
    outcome = Outcome()
    async with runtime(url, attempts, **options) as made:
        async with made.open(Problem(prompt="2 + 2?"), seed=1) as run:
            try:
                outcome.completions = await run.decode(asking)
            except Exception as error:
                outcome.error = error
        outcome.usage = made.ledger.total
        assert made.ledger.in_flight == 0
    return outcome


def ask(url: str, *, attempts: int = 1, options: dict[str, Any] | None = None, **fields: Any) -> Outcome:
    return asyncio.run(asked(url, request(**fields), attempts, **(options or {})))


def test_what_is_sent(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_OLLAMA_KEY", "not-a-real-key")
    options = {"keep_alive": "10m", "think": "low", "options": {"num_ctx": 4096}, "api_key_env": "TEST_OLLAMA_KEY"}
    with kit.running(kit.Server()) as server:
        outcome = ask(server.url, n=3, temperature=0.5, top_p=0.9, stop=("END", ""), max_tokens=7, logprobs=2, options=options)
    assert outcome.error is None
    assert sorted(body["options"]["seed"] for body in server.bodies) == [5, 6, 7]
    body = min(server.bodies, key=lambda sent: sent["options"]["seed"])
    sampling = {"num_ctx": 4096, "num_predict": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 5}
    assert body["options"] == sampling
    fixed = {"model": "test", "stream": True, "truncate": False, "shift": False, "keep_alive": "10m", "think": "low"}
    assert fixed.items() <= body.items()
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert body["messages"] == [{"role": "user", "content": "2 + 2?"}]
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer not-a-real-key"}


def test_what_is_left_out(kit: Any) -> None:
    with kit.running(kit.Server()) as server:
        ask(server.url, seed=None)
    [body] = server.bodies
    assert "seed" not in body["options"]
    assert not {"keep_alive", "think", "format", "logprobs"} & set(body)


def test_a_schema_goes_out_as_the_format(kit: Any) -> None:
    schema = {"type": "object", "properties": {"better": {"enum": ["A", "B"]}}, "required": ["better"]}
    with kit.running(kit.Server()) as server:
        outcome = ask(server.url, json_schema=schema)
    assert server.bodies[0]["format"] == schema
    assert outcome.completions[0].text in ('{"better": "A"}', '{"better": "B"}')


def test_reasoning_probabilities_and_clocks(kit: Any) -> None:
    logprob = {"token": "4", "logprob": -0.1, "top_logprobs": [{"token": "4", "logprob": -0.1}, {"token": "5", "logprob": -3.0}]}
    final = {"model": "test:1b", "done": True, "done_reason": "stop", "eval_count": 6, "prompt_eval_count": 11, "message": {}}
    lines = [
        kit.chunk({"role": "assistant", "content": "", "thinking": "two and "}),
        kit.chunk({"role": "assistant", "content": "", "thinking": "two"}),
        kit.chunk({"role": "assistant", "content": "4"}, logprobs=[logprob]),
        kit.line({**final, "load_duration": 500_000_000, "prompt_eval_duration": 250_000_000, "eval_duration": 125_000_000}),
    ]
    cut = b"".join(lines)
    pieces = [cut[i : i + 37] for i in range(0, len(cut), 37)]  # lines do not come as reads
    with kit.running(kit.Server(fault=lambda body, number: pieces)) as server:
        outcome = ask(server.url)
    [completion] = outcome.completions
    assert (completion.text, completion.reasoning, completion.tokens) == ("4", "two and two", 6)
    assert completion.model == "test:1b"
    assert (completion.timing.queue, completion.timing.prompt, completion.timing.completion) == (0.5, 0.25, 0.125)
    assert completion.logprobs is not None
    assert [(t.token, t.logprob, t.top) for t in completion.logprobs] == [("4", -0.1, (("4", -0.1), ("5", -3.0)))]
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens, outcome.usage.estimated) == (11, 6, False)


def test_a_prompt_from_the_cache_is_estimated(kit: Any) -> None:
    lines = [kit.chunk({"content": "4"}), kit.line({"done": True, "done_reason": "stop", "eval_count": 1, "message": {}})]
    with kit.running(kit.Server(fault=lambda body, number: lines)) as server:
        outcome = ask(server.url)
    assert outcome.usage.estimated
    assert outcome.usage.prompt_tokens > 0


def test_a_cancelled_call_closes_its_connections(kit: Any) -> None:
    async def main(url: str) -> Usage:
        async with runtime(url) as made, made.open(Problem(prompt="2 + 2?"), seed=1) as run:
            call = asyncio.create_task(run.decode(request(n=3)))
            while server.lines < 3:  # noqa: ASYNC110 # each choice has begun, in the server's thread
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            for _ in range(500):
                if server.left == 3:
                    break
                await asyncio.sleep(0.01)
            return made.ledger.total

    endless = [kit.chunk({"content": "on "})] * 10_000
    with kit.running(kit.Server(fault=lambda body, number: endless, pause=0.01)) as server:
        usage = asyncio.run(main(server.url))
    assert server.left == 3, "the server must learn that nobody is waiting"
    assert (usage.started, usage.cancelled, usage.served) == (1, 1, 0)
    assert usage.completion_tokens >= 1
    assert usage.estimated


def json_error(status: int, text: str, **headers: str) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


TRANSIENT = {
    "busy": json_error(503, "server busy, please try again. maximum pending requests exceeded"),
    "limited": json_error(429, "too many requests"),
    "runner": json_error(500, "llama runner process has terminated: exit status 2"),
    "proxy": web.Response(status=502, text="<html><h1>Bad gateway</h1></html>"),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_what_may_pass_is_tried_again_and_every_attempt_counted(name: str, kit: Any) -> None:
    def fault(body: dict[str, Any], number: int) -> web.Response | None:
        first = TRANSIENT[name]
        return web.Response(status=first.status, body=first.body, content_type=first.content_type) if number == 1 else None

    with kit.running(kit.Server(fault=fault)) as server:
        outcome = ask(server.url, attempts=2)
    assert outcome.error is None
    assert (outcome.usage.started, outcome.usage.failed, outcome.usage.served) == (2, 1, 1)


@pytest.mark.parametrize(
    ("response", "kind", "message"),
    [
        ((404, "model 'test' not found"), "LookupError", "ollama pull test"),
        ((400, "the input length exceeds the context length"), "ValueError", r"raise options\.num_ctx"),
        ((400, "invalid format"), "ValueError", "invalid format"),
        ((401, "unauthorized"), "PermissionError", "api_key_env"),
        ((500, "model requires more system memory (9 GiB) than is available (4 GiB)"), "RuntimeError", "more system memory"),
        ((418, "teapot"), "RuntimeError", "418"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(response: tuple[int, str], kind: str, message: str, kit: Any) -> None:
    with kit.running(kit.Server(fault=lambda body, number: json_error(*response))) as server:
        outcome = ask(server.url, attempts=3)
    assert len(server.bodies) == 1
    assert outcome.error is not None
    assert type(outcome.error.__cause__).__name__ == kind
    assert re.search(message, str(outcome.error)), str(outcome.error)
    assert outcome.usage.failed == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([b'{"message": {"content": "4"}, "done": false}\n'], "ended its answer after 1 tokens without saying that it was done"),
        ([b'{"message": {"content": "4"}}\n', b'{"error": "unexpected EOF"}\n'], "gave up: unexpected EOF"),
        ([b"<html>sorry</html>\n"], "sent a broken answer: '<html>sorry</html>'"),
        ([b"[1, 2]\n"], "sent a broken answer"),
        ([b'{"message": {"content": 7}}\n'], "sent a broken answer"),
        ([b"[" * 100_000 + b"\n"], "sent a broken answer"),
        ([], "ended its answer after 0 tokens"),
    ],
)
def test_broken_answers_are_tried_again(lines: list[bytes], message: str, kit: Any) -> None:
    with kit.running(kit.Server(fault=lambda body, number: lines if number == 1 else None)) as server:
        outcome = ask(server.url, attempts=2)
        assert outcome.error is None, outcome.error
        server.bodies.clear()
        outcome = ask(server.url, attempts=1)
    assert message in str(outcome.error)


def test_silence_is_not_waited_for_ever(kit: Any) -> None:
    with kit.running(kit.Server(pause=30)) as server:
        outcome = ask(server.url, options={"first_timeout": 0.2})
    assert "was silent for 0.2 s after 0 tokens" in str(outcome.error)
    slow = kit.Server(fault=lambda body, number: [kit.chunk({"content": "4"})] * 3, pause=0.4)
    with kit.running(slow):
        outcome = ask(slow.url, options={"idle_timeout": 0.1})
    assert "was silent for" in str(outcome.error)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = ask(f"http://127.0.0.1:{port}")
    assert "is `ollama serve` running?" in str(outcome.error)


def test_what_the_api_cannot_do_is_refused_before_anything_is_sent(kit: Any) -> None:
    unfinished = (Message(role="user", content="2 + 2?"), Message(role="assistant", content="It is"))
    with kit.running(kit.Server()) as server:
        outcome = ask(server.url, messages=unfinished, continue_last=True)
        assert "set continue_last" in str(outcome.error)
        assert server.bodies == []
        assert ask(server.url, messages=unfinished, continue_last=True, options={"continue_last": True}).error is None
        assert server.bodies[0]["messages"][-1] == {"role": "assistant", "content": "It is"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "ollama"}, "must be an http"),
        ({"base_url": "http://127.0.0.1:11434/api"}, "must end before /api"),
        ({"base_url": "http://me:secret@host"}, "must hold no user"),
        ({"options": {"seed": 3}}, "comes with each request"),
        ({"connections": 0}, "greater than or equal to 1"),
    ],
)
def test_options_are_checked_before_anything_starts(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OllamaConfig(**options)


def test_a_model_and_a_key_are_asked_for_at_the_start() -> None:
    with pytest.raises(Exception, match="set `model` to one that `ollama list` shows"):
        ask("http://127.0.0.1:9", options={"model": ""})
    with pytest.raises(Exception, match="TEST_NO_SUCH_KEY is not set"):
        ask("http://127.0.0.1:9", options={"api_key_env": "TEST_NO_SUCH_KEY"})
