"""The sampler `adaptive` in a whole pipeline: what it launches, when it stops, what it cancels and how it is booked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from k2core_sampler.adaptive import Adaptive, AdaptiveConfig
from k2core_sampler.learnt import LearntRule
from k2core_sampler.stopping import Standing

from k2core import ConfigError, K2Error, LimitExceeded, PipelineConfig, PluginError, Problem, Registry, Runtime
from k2core.events import CandidateMade, Delta, Tuned
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Call, Run
from k2core.testing import fake_decoder
from k2core.types import Usage

Hold = Any
"""What the fixture of this name is: see conftest.py."""


def votes(*replies: Any, **more: Any) -> dict[str, Any]:
    return {"replies": replies, **more}


def adaptive(**options: Any) -> dict[str, Any]:
    more = {name: options.pop(name) for name in ("limits", "hooks") if name in options}
    return {"sampler": {"use": "adaptive", "spare": 0, **options}, **more}


def test_unanimous_votes_stop_at_three_of_eight(hold: Hold) -> None:
    held = hold(votes("4"), adaptive())
    assert held.usage.started == 3
    assert (held.result.answer, held.shares) == ("4", {"0": 1.0, "1": 1.0, "2": 1.0})
    assert (held.stop.counted, held.stop.launched, held.stop.cancelled, held.stop.n) == (3, 3, 0, 8)
    assert held.stop.confidence == pytest.approx(1 - 2 / 56)
    assert "3 of the first 3 candidates agree, confidence 0.964" in held.result.decision


def test_disagreement_adds_votes_until_the_rule_is_sure(hold: Hold) -> None:
    held = hold(votes("4", "7", "4", "4", "4"), adaptive())
    assert held.result.answer == "4"
    assert (held.usage.started, held.stop.counted) == (5, 5)
    assert held.shares == pytest.approx({"0": 0.8, "1": 0.2, "2": 0.8, "3": 0.8, "4": 0.8})


def test_full_vote_is_the_majority(hold: Hold) -> None:
    held = hold(votes("1", "2", "3", "2", "1", "3", "4", "2"), adaptive())
    assert (held.result.answer, held.usage.started, held.stop.confidence) == ("2", 8, 1.0)
    assert held.stop.reason == "all 8 are counted"


def test_full_tie_goes_to_the_first_candidate(hold: Hold) -> None:
    held = hold(votes("1", "2", "2", "1"), adaptive(n=4), problems=1)
    assert held.result.answer == "1"


def test_spare_calls_are_cancelled_at_once_and_counted(hold: Hold) -> None:
    held = hold(votes("4", "4", None, "4", None), adaptive(spare=2))
    assert (held.usage.started, held.usage.served, held.usage.cancelled) == (5, 3, 2)
    assert (held.stop.launched, held.stop.counted, held.stop.cancelled) == (5, 3, 2)
    assert held.result.answer == "4"


def test_stragglers_do_not_hold_up_the_decision_with_a_spare_call(hold: Hold) -> None:
    held = hold(votes("4", "4", "4", "7", ranks=(1, 5000, 1, 1)), adaptive(spare=1, n=8))
    assert held.result.seconds < 10
    assert held.usage.cancelled >= 1


def test_order_of_launch_waits_for_the_earlier_ones(hold: Hold) -> None:
    back = votes("4", "4", "4", "4", "7", ranks=(9, 1, 1, 1))
    launch, arrival = hold(back, adaptive(spare=1, order="launch")), hold(back, adaptive(spare=1))
    assert launch.stop.counted == 3
    assert [c.id for c in launch.result.candidates] == ["0", "1", "2", "3"]  # 3 was there, and is not counted
    assert arrival.stop.answer == launch.stop.answer == "4"
    assert {c.id for c in arrival.result.candidates} >= {"1", "2", "3"}


def test_a_leader_without_the_first_candidate_could_lose_a_tie_and_needs_more(hold: Hold) -> None:
    """Of 8 votes 3 to 0 might end 4 to 4, and candidate 0, not here yet, would win that for another answer."""
    held = hold(votes(None, "4", "4", "4", "4", "4"), adaptive(spare=1))
    assert held.stop.counted == 4
    assert held.usage.cancelled >= 1


def test_candidates_without_an_answer_do_not_vote(hold: Hold) -> None:
    held = hold(votes("", "4", "4", "4", "4", "4"), adaptive())
    assert held.result.answer == "4"
    assert held.shares["0"] == 0.0


def test_a_failed_call_is_counted_and_the_poll_goes_on(hold: Hold) -> None:
    held = hold(votes(ConnectionError("reset"), "4"), adaptive())
    assert held.result.answer == "4"
    assert held.usage.failed == 1
    assert any("candidate 0 failed" in warning for warning in held.result.warnings)


def test_all_failed_is_one_error(hold: Hold) -> None:
    with pytest.raises(K2Error, match="all 8 candidates failed"):
        hold(votes(ConnectionError("reset")), adaptive())


class Allowance(Plugin):
    """A budget of so many decoder calls."""

    config: PluginConfig
    calls = 2

    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config)
        self.left = self.calls

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        return self._spend() if call.role == "decoder" else None

    @asynccontextmanager
    async def _spend(self) -> AsyncIterator[None]:
        if self.left == 0:
            raise LimitExceeded("no calls left", "hooks.allowance.calls")
        self.left -= 1
        yield


class NoAllowance(Allowance):
    calls = 0


def test_budget_that_ends_midway_decides_with_what_there_is(hold: Hold) -> None:
    held = hold(votes("4", "7"), adaptive(hooks={"allowance": {}}), allowance=("hook", Allowance))
    assert held.result.answer == "4"
    assert len(held.result.candidates) == held.usage.started == 2
    assert (held.stop.reason, held.stop.confidence) == ("a limit allows no more calls", None)
    assert sum("no calls left" in warning for warning in held.result.warnings) >= 1


def test_budget_spent_before_the_first_candidate_is_a_limit(hold: Hold) -> None:
    with pytest.raises(LimitExceeded, match="no calls left"):
        hold(votes("4"), adaptive(hooks={"allowance": {}}), allowance=("hook", NoAllowance))


def test_soft_deadline_decides_with_what_there_is(hold: Hold) -> None:
    held = hold(votes("4", "7", None, None), adaptive(limits={"soft_deadline": 0.6}))
    assert [c.id for c in held.result.candidates] == ["0", "1"]
    assert held.usage.cancelled == held.usage.started - 2
    assert (held.stop.reason, held.stop.confidence) == ("the soft deadline passed", None)
    assert held.stop.counted == 2


def test_soft_deadline_waits_for_the_first_candidate(hold: Hold) -> None:
    held = hold(votes("4", "5", None, ranks=(20, 20, 20)), adaptive(limits={"soft_deadline": 0.01}))
    assert held.result.answer in ("4", "5")
    assert held.stop.reason == "the soft deadline passed"


def test_soft_deadline_in_order_of_launch_counts_all_that_are_here(hold: Hold) -> None:
    held = hold(votes(None, "4", "4"), adaptive(order="launch", limits={"soft_deadline": 0.6}))
    assert (held.result.answer, held.stop.counted) == ("4", 2)


def test_hard_time_out_reaches_the_back_end(hold: Hold) -> None:
    with pytest.raises(LimitExceeded):
        hold(votes(None), adaptive(limits={"timeout": 0.2}))


def test_hedge_starts_one_more_when_nothing_comes(hold: Hold) -> None:
    held = hold(votes("4", "4", None, "4"), adaptive(hedge=0.03))
    assert held.usage.started >= 4
    assert held.result.answer == "4"


def test_first_says_how_many_to_start_with(hold: Hold) -> None:
    held = hold(votes("4"), adaptive(first=6))
    assert held.usage.started == 6
    assert held.stop.counted == 3


@pytest.mark.parametrize("rule", ["exact", "learnt"])
def test_the_same_seed_and_completions_lead_to_the_same_decision(hold: Hold, rule: str) -> None:
    def once() -> list[Any]:
        held = hold(votes("4", "7", "4", "4", "7", "4", "4", "4"), adaptive(rule=rule, warm_up=2), problems=8)
        return [(r.answer, r.scores, r.decision, [c.id for c in r.candidates]) for r in held.results]

    assert once() == once()


def test_deltas_and_candidates_are_told_as_they_come(hold: Hold) -> None:
    held = hold(votes("4", "4", "4", ranks=(2, 1, 3)), adaptive())
    assert [event.candidate.id for event in held.recorder.of(CandidateMade)] == ["1", "0", "2"]
    for candidate in held.result.candidates:
        assert "".join(e.text for e in held.recorder.of(Delta) if e.candidate == candidate.id) == candidate.text


def test_learnt_rule_stops_sooner_once_it_has_seen_agreement_and_audits(hold: Hold) -> None:
    held = hold(votes("4"), adaptive(rule="learnt", warm_up=10, audit=0.2), problems=60)
    counted = [len(result.candidates) for result in held.results]
    assert set(counted[:10]) == {3}
    assert min(counted[10:]) < 3
    assert 3 in counted[30:]  # an audit
    assert held.stop.rule in ("exact", "learnt")


def test_a_rule_that_takes_its_time_leaves_the_event_loop_alone(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many votes the learnt rule computes in a thread."""
    here, seen = threading.current_thread(), set()
    stated = LearntRule.stated

    def watched(self: LearntRule, now: Standing) -> float:
        seen.add(threading.current_thread())
        return stated(self, now)

    monkeypatch.setattr(LearntRule, "stated", watched)
    held = hold(votes("4", "7", "9", "4"), adaptive(n=16, rule="learnt", warm_up=0, audit=0, prior=[(0.0, 1.0, 1.0)]))
    assert held.result.answer == "4"
    assert held.usage.started == held.usage.served + held.usage.cancelled
    assert seen
    assert here not in seen


def test_what_was_learnt_is_told_as_options_that_start_another_runtime_alike(hold: Hold) -> None:
    held = hold(votes("4"), adaptive(rule="learnt", warm_up=5, audit=0), problems=20)
    options = held.recorder.of(Tuned)[-1].options
    again = hold(votes("4"), adaptive(**{"rule": "learnt", **options}))
    assert again.result.decision == held.result.decision
    assert AdaptiveConfig(**{"rule": "learnt", **options}).warm_up == 0


def test_memory_is_kept_in_a_file(hold: Hold, tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    first = hold(votes("4"), adaptive(rule="learnt", warm_up=10, audit=0, memory=str(path)), problems=30)
    second = hold(votes("4"), adaptive(rule="learnt", warm_up=10, audit=0, memory=str(path)))
    assert second.usage.started == len(first.result.candidates) < 3


def test_a_file_that_is_no_memory_is_refused(hold: Hold, tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    path.write_text('{"other": 1}')
    with pytest.raises(PluginError, match=r"memory\.json is no memory of the sampler"):
        hold(votes("4"), adaptive(rule="learnt", memory=str(path)))
    assert path.read_text() == '{"other": 1}'


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 65}, {"confidence": 1}, {"rule": "guess"}, {"spare": -1}, {"verifier": "none"}])
def test_wrong_options_are_refused(hold: Hold, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"sampler\.{next(iter(wrong))}"):
        hold(votes("4"), adaptive(**wrong))


def test_spare_calls_are_learnt_from_stragglers() -> None:
    """Every fourth call is a straggler: after a few problems one spare call is under way, and then no decision waits."""
    plugin = Adaptive()
    assert plugin._durations.spare(3, 3) == 0
    for place in range(12):
        plugin._durations.add(0.4 if place % 4 == 3 else 0.05, True)
    assert plugin._durations.spare(3, 3) == 1


def test_cancellation_reaches_the_back_end() -> None:
    registry = Registry()
    registry.add(
        "decoder", "stuck", fake_decoder(lambda request, index: "so \\boxed{4}" if request.candidates == ("0",) else "word " * 999)
    )

    async def main() -> None:
        config = PipelineConfig.from_dict(
            {**adaptive(), "verifiers": {"math": {}}, "decoders": {"solver": {"use": "stuck", "delay": 0.01}}}
        )
        async with Runtime(config, registry=registry) as runtime:
            task = asyncio.create_task(runtime.solve(Problem(prompt="x"), seed=1))
            while runtime.ledger.usage().get("solve", Usage()).served < 1:  # noqa: ASYNC110  # a ledger has no events
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            usage = runtime.ledger.usage()["solve"]
            assert (usage.served, usage.cancelled, runtime.ledger.in_flight) == (1, 2, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
