"""A recorded poll, run again from its trace: the same decision, the same ledger."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from k2core import Candidate, Plugin, PluginConfig, Registry, Verdict, hookimpl
from k2core.events import SamplerStopped
from k2core.testing import EventRecorder

hooks = pytest.importorskip("k2core_hooks", reason="needs k2core-hooks, which records and replays")

from k2core_hooks.compare import compare  # noqa: E402  # after the check that it is there
from k2core_hooks.replay import replay  # noqa: E402  # the same

Hold = Any
"""What the fixture of this name is: see conftest.py."""


class Instant(Plugin):
    """Takes equal texts for equal answers, without ever giving way to other tasks, and slowly at first."""

    config: PluginConfig

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        time.sleep(0.15 if len(candidates) == 1 else 0)  # noqa: ASYNC251  # it is to block the loop
        return [Verdict(candidate_id=c.id, status="undecided", key=c.text) for c in candidates]


def replayed(path: Path) -> None:
    """Replay a trace and compare."""
    recorded = hooks.read_trace(path)
    registry = Registry()
    registry.add("hook", "record", EventRecorder)
    registry.add("verifier", "instant", Instant)
    again = asyncio.run(replay(recorded, registry=registry))
    differing = [item for item in compare(recorded.ended, again) if not item.same]
    assert not differing


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rule", ["exact", "learnt", "sources"])
def test_a_recorded_poll_replays_to_the_same_decision_and_ledger(hold: Hold, tmp_path: Path, rule: str, seed: int) -> None:
    """Answers, order of arrival, failures and stragglers at random; several arrive at the same moment."""
    draw = random.Random(seed)
    replies = [draw.choice(["4", "4", "4", "7", "9", ConnectionError("reset")]) for _ in range(8)]
    ranks = [draw.choice([0, 0, 1, 1, 2, 4, 15]) for _ in range(8)]
    sampler: dict[str, Any] = {"use": "adaptive", "rule": rule, "warm_up": 2, "spare": draw.choice(["auto", 0, 2])}
    table = {"sampler": sampler, "hooks": {"trace": {"directory": str(tmp_path)}}}
    if rule == "sources":
        sampler |= {"sources": [["a", 0.4, 0.4], ["b", 0.6, 0.3], ["c", 0.9, 0.3]], "warm_up": 1}
    held = hold({"replies": replies, "ranks": ranks, "models": draw.choices("abc", k=8)}, table, problems=4)
    assert held.recorder.of(SamplerStopped)
    traces = sorted(tmp_path.iterdir())
    assert len(traces) == 4
    for trace in traces:
        replayed(trace)


def test_the_committed_rule_of_a_replay_is_the_recorded_one(hold: Hold, tmp_path: Path) -> None:
    """What the learnt rule knew is in the trace: a fresh runtime would have asked for more."""
    sampler = {"use": "adaptive", "rule": "learnt", "warm_up": 5, "audit": 0.0}
    held = hold({"replies": ["4"]}, {"sampler": sampler, "hooks": {"trace": {"directory": str(tmp_path)}}}, problems=20)
    (last,) = [file for file in tmp_path.iterdir() if held.result.run_id in file.name]
    assert hooks.read_trace(last).ended.usage["solve"].started == len(held.result.candidates) < 3
    replayed(last)


@pytest.mark.parametrize("n", [8, 24])
def test_answers_that_came_together_with_the_deciding_one_are_served_in_the_replay_too(hold: Hold, tmp_path: Path, n: int) -> None:
    """They come in an order of their own while the first one is being verified, and the decision cancels only the last call."""
    sampler = {"use": "adaptive", "n": n, "first": n}
    votes = {"replies": ["4"], "ranks": [*range(n - 1, 0, -1), 999]}
    table = {"sampler": sampler, "verifiers": {"math": {"use": "instant"}}, "hooks": {"trace": {"directory": str(tmp_path)}}}
    held = hold(votes, table, instant=("verifier", Instant))
    assert (held.usage.served, held.usage.cancelled) == (n - 1, 1)
    assert held.stop.counted < n - 1
    replayed(next(tmp_path.iterdir()))
