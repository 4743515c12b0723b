"""Replays of runs whose decoder asks others: failed over, hedged, refused by all and tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from k2core_hooks import read_trace
from k2core_hooks.digest import digest
from k2core_hooks.replay import replay
from k2core_hooks.trace import Trace

from k2core import (
    DecodeRequest,
    PipelineConfig,
    Plugin,
    PluginConfig,
    PluginNotFound,
    Problem,
    Registry,
    Run,
    Runtime,
    TransientError,
    hookimpl,
)
from k2core.events import CallEnded, RunEnded
from k2core.testing import FakeSampler, FakeVerifier, fake_decoder


class Slow(Plugin):
    """Never says anything."""

    config: PluginConfig

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Any:
        run.meter(prompt_tokens=5)
        await asyncio.Event().wait()


def flaky(times: int) -> Any:
    """Fails so often, then answers, another text to each seed."""
    left = [times]

    def respond(request: DecodeRequest, index: int) -> str | Exception:
        left[0] -= 1
        return TransientError("busy") if left[0] >= 0 else f"I think it is \\boxed{{42}}, {request.seed}"

    return fake_decoder(respond)


def registry(**decoders: Any) -> Registry:
    found = Registry()
    try:
        found.load("decoder", "route")
    except PluginNotFound as error:
        pytest.skip(str(error))
    found.add("sampler", "fake-n", FakeSampler)
    found.add("verifier", "fake-verify", FakeVerifier)
    found.add("hook", "trace", Trace)
    for name, decoder in decoders.items():
        found.add("decoder", name, decoder)
    return found


def refusing(request: DecodeRequest, index: int) -> str | Exception:
    return ValueError("the prompt is too long")


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "failed over": ({"first": flaky(2), "second": flaky(0)}, {}),
    "hedged": ({"first": Slow, "second": flaky(0)}, {"hedge_after": 0.05}),
    "all down for a moment": ({"first": flaky(3), "second": flaky(2)}, {"failures": 9}),
    "all down": ({"first": flaky(99), "second": flaky(99)}, {"failures": 9}),
    "refused": ({"first": fake_decoder(refusing), "second": flaky(0)}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_routed_run_comes_out_the_same(case: str, tmp_path: Path) -> None:
    decoders, options = CASES[case]
    config = {
        "sampler": {"use": "fake-n", "n": 1 if case == "all down" else 3},
        "decoders": {"solver": {"use": "route", "decoders": list(decoders), **options}, **{name: {} for name in decoders}},
        "verifiers": {"fake-verify": {}},
        "hooks": {"trace": {"directory": str(tmp_path)}},
        "retry": {"base": 0.01, "attempts": 2},
    }

    async def record() -> None:
        async with Runtime(PipelineConfig.from_dict(config), registry=registry(**decoders)) as runtime:
            await asyncio.gather(runtime.solve(Problem(prompt="6 times 7?"), seed=3), return_exceptions=True)

    asyncio.run(record())
    (path,) = tmp_path.glob("*.jsonl")
    run = read_trace(path)
    outcomes = {event.status for event in run.events if isinstance(event, CallEnded)}
    assert ("failed" in outcomes) == (case != "hedged")
    ended = asyncio.run(replay(run, registry=registry(**decoders)))
    assert run.ended
    assert counted(ended) == counted(run.ended)
    assert digest(ended.result, ended.usage, ended.error) == digest(run.ended.result, run.ended.usage, run.ended.error)


def counted(ended: RunEnded) -> Any:
    """For a readable difference, before the digests are compared."""
    names = ("started", "served", "cancelled", "failed", "cached", "prompt_tokens", "completion_tokens")
    return ended.error, {role: {name: getattr(used, name) for name in names} for role, used in ended.usage.items()}
