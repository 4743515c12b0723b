"""What is right passes every check: the fakes, and the plugins of this project where they are installed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from k2core import Plugin, PluginNotFound, Problem, Registry
from k2core.testing import (
    EventRecorder,
    FakeDecoder,
    FakePlanner,
    FakeSampler,
    FakeVerifier,
    Subject,
    assert_conforms,
    checks_for,
)

FAKES: dict[str, type[Plugin]] = {
    "planner": FakePlanner,
    "sampler": FakeSampler,
    "verifier": FakeVerifier,
    "decoder": FakeDecoder,
    "hook": EventRecorder,
}
INSTALLED: list[tuple[str, str, Mapping[str, Any]]] = [
    ("planner", "think", {}),
    ("sampler", "single", {}),
    ("sampler", "best-of-n", {"n": 3}),
    ("verifier", "math", {}),
    ("verifier", "judge", {}),
    ("verifier", "rating", {}),
    ("hook", "budget", {}),
]


def installed(role: str, name: str) -> type[Plugin]:
    try:
        return Registry().load(role, name)
    except PluginNotFound as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("role", FAKES)
def test_fakes_conform(role: str) -> None:
    assert_conforms(role, FAKES[role])


@pytest.mark.parametrize(("role", "name", "config"), INSTALLED)
def test_installed_plugins_conform(role: str, name: str, config: Mapping[str, Any]) -> None:
    assert_conforms(role, installed(role, name), config)


def test_trace_conforms(tmp_path: Path) -> None:
    assert_conforms("hook", installed("hook", "trace"), {"directory": str(tmp_path)})


def test_recorded_conforms(tmp_path: Path) -> None:
    problem = Problem(id="p1", prompt="What is 2 + 2?")
    text = "Two and two are four, as everyone can count on the fingers of one hand, so \\boxed{4}. Sample "
    rows = [{"pid": "p1", "problem": problem.prompt, "gold": "4", "completion": f"{text}{i}.", "tokens": 24} for i in range(8)]
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert_conforms("decoder", installed("decoder", "recorded"), {"path": str(path)}, problem=problem)
    assert_conforms("tasks", installed("tasks", "recorded"), dataset=(str(path), "train"))


MODEL = Path.home() / ".cache" / "k2core" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
LLAMA = Subject("decoder", Plugin, {"model": str(MODEL)}, import_seconds=0.4)
SOME = ("works_as_decoder", "deltas_make_the_text", "tokens_are_counted")


@pytest.mark.skipif(not MODEL.exists(), reason="the small model has not been fetched; `k2 models get` does")
@pytest.mark.parametrize("check", [check for check in checks_for("decoder") if check.name in SOME])
def test_llamacpp_conforms_where_it_matters_most(check: Any) -> None:
    """The plugin's own tests run every check, which takes a minute."""
    LLAMA.cls = installed("decoder", "llamacpp")
    check(LLAMA)


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The address of an OpenAI-compatible server that knows one answer and streams it."""
    web = pytest.importorskip("aiohttp.web")
    loop, ready = asyncio.new_event_loop(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", _completions)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        ready.set()
        await stop.wait()
        await runner.cleanup()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


async def _completions(request: Any) -> Any:
    from aiohttp import web

    body = await request.json()
    if not body["messages"]:
        return web.json_response({"error": {"message": "messages must not be empty"}}, status=400)
    asked = sum(map(ord, str(body["messages"][-1]["content"])))
    words = f"I count {asked} and so the answer is \\boxed{{{asked % 10}}}.".split(" ")
    words = words[: next((i for i, word in enumerate(words) if word in (body.get("stop") or ())), len(words))]
    kept = words[: body["max_tokens"]]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for place, word in enumerate(kept):
        for index in range(body.get("n") or 1):
            delta = {"index": index, "delta": {"content": " " * (place > 0) + word}, "finish_reason": None}
            await response.write(b"data: " + json.dumps({"choices": [delta]}).encode() + b"\n\n")
        await asyncio.sleep(0.002)
    finish = "stop" if len(kept) == len(words) else "length"
    n = body.get("n") or 1
    ends = [{"index": index, "delta": {}, "finish_reason": finish} for index in range(n)]
    usage = {"prompt_tokens": 5, "completion_tokens": n * len(kept), "total_tokens": 5 + n * len(kept)}
    for chunk in ({"choices": ends}, {"choices": [], "usage": usage}):
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


def test_openai_conforms(endpoint: str) -> None:
    assert_conforms("decoder", installed("decoder", "openai"), {"base_url": endpoint, "model": "one-answer"})
