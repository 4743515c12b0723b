"""One request through the roles: plan, sample, verify, choose; what is refused, and what a failure costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from parts import Nothing, Plans, Votes, plugin, runtime, solve

from k2core import (
    Candidate,
    Completion,
    DecodeRequest,
    Plan,
    Plugin,
    PluginError,
    Run,
    Verdict,
    hookimpl,
)
from k2core.events import Warned
from k2core.testing import FakeDecoder, fake_decoder


def by_choice(*texts: str) -> tuple[str, type[Plugin]]:
    """A decoder that answers each candidate with its own text."""
    return "decoder", fake_decoder(lambda request, index: texts[int(request.candidates[index])])


def test_the_majority_wins_and_its_answer_is_returned() -> None:
    config = {"sampler": {"use": "samples", "n": 3}, "verifiers": {"votes": {}}}
    result = solve(runtime(config, fake=by_choice("7", "4", "4")))
    assert (result.answer, result.candidate.id, result.scores["1"]) == ("4", "1", pytest.approx(2 / 3))
    assert "1, 2 share the highest score 0.67" in result.decision
    assert [v.verifier for v in result.verdicts] == ["votes"] * 3


def test_a_tie_goes_to_the_first_candidate() -> None:
    config = {"sampler": {"use": "samples", "n": 2}, "verifiers": {"votes": {}}}
    assert solve(runtime(config, fake=by_choice("b", "a"))).answer == "b"


def test_verifiers_count_by_weight() -> None:
    class Prefers(Plugin):
        config: Nothing

        @hookimpl
        async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
            return [Verdict(candidate_id=c.id, status="undecided", score=float(c.text == "7")) for c in candidates]

    config = {"sampler": {"use": "samples", "n": 3}, "verifiers": {"votes": {}, "prefers": {"weight": 5}}}
    result = solve(runtime(config, fake=by_choice("7", "4", "4"), prefers=("verifier", Prefers)))
    assert result.answer == "7"
    assert result.scores["0"] == pytest.approx((1 / 3 + 5) / 6)


@pytest.mark.parametrize(("mode", "plans"), [("problem", 1), ("sample", 3)])
def test_a_plan_is_made_once_a_problem_or_once_a_sample(mode: str, plans: int) -> None:
    Plans.made = 0
    made = runtime({"plan": mode, "planner": {"use": "plans"}, "sampler": {"use": "samples", "n": 3}})
    decoder = plugin(made, "decoders.solver")
    result = solve(made)
    assert Plans.made == plans
    assert result.plan == (Plan(prompt="step 1") if mode == "problem" else None)
    assert all("Plan: step" in request.messages[0].content for request in decoder.requests)


def test_a_planner_that_fails_costs_the_plan_and_says_so() -> None:
    result = solve(runtime({"planner": {"use": "plans", "fail": True}}))
    assert result.answer
    assert result.warnings == ("planner: going on without a plan: plans (planner): ValueError: no idea",)


def test_a_verifier_that_fails_costs_its_verdicts_and_says_so() -> None:
    class Broken(Plugin):
        config: Nothing

        @hookimpl
        async def k2_verify(self) -> list[Verdict]:
            raise RuntimeError("boom")

    result = solve(runtime({"sampler": {"use": "samples", "n": 2}, "verifiers": {"broken": {}}}, broken=("verifier", Broken)))
    assert [v.status for v in result.verdicts] == ["error", "error"]
    assert "boom" in result.warnings[0]
    assert "no verifier could judge" in result.decision


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ([], "one verdict for each of"),
        ([Verdict(candidate_id="9", status="correct")], "one verdict for each of"),
        ([Verdict(candidate_id="0", status="correct", score=1.5)], "not in 0..1"),
        (["yes"], "must return a sequence of Verdict"),
        (None, "must return a sequence of Verdict"),
    ],
)
def test_ill_formed_verdicts_are_refused(verdicts: Any, message: str) -> None:
    class Bad(Plugin):
        config: Nothing

        @hookimpl
        async def k2_verify(self) -> Any:
            return verdicts

    result = solve(runtime({"verifiers": {"bad": {}}}, bad=("verifier", Bad)))
    assert message in result.warnings[0]


@pytest.mark.parametrize(
    ("made", "message"),
    [([], "no candidate"), ([Candidate(id="a", text="")] * 2, "equal ids"), ("text", "a sequence of Candidate")],
)
def test_ill_formed_candidates_are_refused(made: Any, message: str) -> None:
    class Bad(Plugin):
        config: Nothing

        @hookimpl
        async def k2_sample(self) -> Any:
            return made

    with pytest.raises(PluginError, match=message):
        solve(runtime({"sampler": {"use": "bad"}}, bad=("sampler", Bad)))


def test_too_few_completions_are_refused_and_the_call_counts_as_failed() -> None:
    class Short(FakeDecoder):
        @hookimpl
        async def k2_decode(self, run: Run, request: DecodeRequest) -> list[Completion]:
            run.delta("so far", tokens=2)
            return []

    made = runtime(fake=("decoder", Short))
    with pytest.raises(PluginError, match="0 completions, 1 were requested"):
        solve(made)
    assert (made.ledger.total.failed, made.ledger.total.completion_tokens) == (1, 2)


def test_asking_twice_for_a_verdict_costs_once_unless_the_set_has_changed() -> None:
    class Pointwise(Votes):
        listwise = False

    async def main(kind: type[Votes]) -> list[int]:
        kind.asked, counts = 0, []
        a, b, c = (Candidate(id=i, text=i) for i in "abc")
        async with runtime({"verifiers": {"votes": {}}}, votes=("verifier", kind)) as made, made.open("x") as run:
            for group, reference in [([a, b], None), ([a, b], None), ([a, b, c], None), ([a], "a")]:
                assert [v.candidate_id for v in await run.verify(group, reference)] == [x.id for x in group]
                counts.append(kind.asked)
        return counts

    assert asyncio.run(main(Votes)) == [2, 2, 5, 6]
    assert asyncio.run(main(Pointwise)) == [2, 2, 3, 4]


def test_an_event_that_is_emitted_twice_is_told_as_two() -> None:
    async def main() -> list[Warned]:
        async with made, made.open("2+2?") as first, made.open("3+3?") as second:
            event = Warned(where="here", message="once")
            first.emit(event)
            second.emit(event)
            return [event for event in plugin(made, "hooks.recorder").events if isinstance(event, Warned)]

    made = runtime({"hooks": {"recorder": {}}})
    told = asyncio.run(main())
    assert len({event.run_id for event in told}) == 2
    assert all(event.run_id and event.message == "once" for event in told)
