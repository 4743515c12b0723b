"""One request: plan, sample, verify, choose; retries, time-outs, cancellation, wrappers and what the ledger says of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from parts import Plans, Samples, SamplesConfig, Votes, VotesConfig, plugin, runtime

from k2core import (
    Call,
    Candidate,
    Completion,
    ConfigError,
    DecodeRequest,
    LimitExceeded,
    Message,
    Plan,
    Plugin,
    PluginConfig,
    PluginError,
    Problem,
    Run,
    Runtime,
    TransientError,
    Verdict,
    hookimpl,
)
from k2core.events import CallEnded, CandidateMade, Delta, RunEnded, RunStarted
from k2core.testing import FakeDecoder, fake_decoder


class Nothing(PluginConfig):
    pass


def solve(made: Runtime, problem: Problem | str = "2+2?", **options: Any) -> Any:
    async def main() -> Any:
        async with made:
            return await made.solve(problem, **options)

    return asyncio.run(main())


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


def test_a_transient_failure_is_retried_and_every_attempt_is_counted() -> None:
    failures = iter([TransientError("busy"), TransientError("busy", after=0.0)])
    decoder = fake_decoder(lambda request, index: next(failures, "\\boxed{4}"))
    made = runtime(fake=("decoder", decoder))
    assert solve(made).answer == "\\boxed{4}"
    total = made.ledger.total
    assert (total.started, total.served, total.failed) == (3, 1, 2)


@pytest.mark.parametrize(("after", "attempts"), [(None, 2), (60.0, 1)])
def test_retries_end(after: float | None, attempts: int) -> None:
    made = runtime(
        {"retry": {"attempts": 2, "base": 0}}, fake=("decoder", fake_decoder(lambda r, i: TransientError("busy", after)))
    )
    with pytest.raises(PluginError, match=rf"busy \({attempts} attempts\)"):
        solve(made)
    assert made.ledger.total.failed == attempts


def test_the_hard_time_out_cancels_the_back_end_and_names_the_limit() -> None:
    made = runtime({"limits": {"timeout": 0.2}, "decoders": {"solver": {"use": "fake", "delay": 10}}})
    with pytest.raises(LimitExceeded, match=r"no answer within 0.2 s \(limits.timeout\)"):
        solve(made)
    assert plugin(made, "decoders.solver").cancelled == 1
    assert (made.ledger.total.cancelled, made.ledger.in_flight) == (1, 0)


def test_a_plugin_that_swallows_the_time_outs_cancellation_does_not_pass_the_limit() -> None:
    class Stubborn(Plugin):
        config: Nothing

        @hookimpl
        async def k2_plan(self) -> Plan | None:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                raise RuntimeError("not me") from error
            return None

    made = runtime({"limits": {"timeout": 0.1}, "planner": {"use": "stubborn"}}, stubborn=("planner", Stubborn))
    with pytest.raises(LimitExceeded, match=r"limits\.timeout"):
        solve(made)


def test_the_soft_deadline_is_told_and_the_hard_one_can_be_asked_for() -> None:
    seen = []

    class Hurries(Samples):
        @hookimpl
        async def k2_sample(self, run: Run) -> list[Candidate]:
            seen.append((run.hurry, 0 < (run.remaining() or 0) <= 50))
            await run.wait_hurry()
            seen.append((run.hurry, True))
            return [Candidate(id="0", text="what I have")]

    made = runtime({"limits": {"soft_deadline": 0.05, "timeout": 50}}, samples=("sampler", Hurries))
    assert solve(made).answer == "what I have"
    assert seen == [(False, True), (True, True)]


def test_cancelled_calls_are_counted_with_the_tokens_that_had_arrived() -> None:
    async def main() -> Any:
        made = runtime({"decoders": {"solver": {"use": "fake", "replies": ["a b c d e f g h"], "delay": 0.01}}})
        async with made:
            async for event in made.stream("x"):
                if isinstance(event, Delta) and event.text.strip() == "c":
                    break  # closing the stream cancels the run
            await asyncio.sleep(0.05)
        return made

    made = asyncio.run(main())
    total, decoder = made.ledger.total, plugin(made, "decoders.solver")
    assert (total.started, total.cancelled, decoder.cancelled) == (1, 1, 1)
    assert total.completion_tokens == decoder.tokens


def test_events_tell_the_story_in_order() -> None:
    async def main() -> list[Any]:
        made = runtime({"sampler": {"use": "samples", "n": 2}, "verifiers": {"votes": {}}})
        async with made:
            return [event async for event in made.stream(Problem(id="p", prompt="x"), seed=5)]

    events = asyncio.run(main())
    assert isinstance(events[0], RunStarted)
    assert (events[0].problem.id, events[0].seed, events[0].config["sampler"]["n"]) == ("p", 5, 2)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].result is not None
    assert {e.run_id for e in events} == {events[-1].result.run_id}
    for name, completion in [(e.candidate.id, e.candidate.text) for e in events if isinstance(e, CandidateMade)]:
        assert "".join(e.text for e in events if isinstance(e, Delta) and e.candidate == name) == completion
    assert sum(e.usage.completion_tokens for e in events if isinstance(e, CallEnded)) == events[-1].usage["solve"].completion_tokens
    assert [e.at for e in events] == sorted(e.at for e in events)


class Gate(Plugin):
    """Wraps decode calls: short-circuits or vetoes them."""

    config: Nothing
    action: Any = None

    @hookimpl
    def k2_around(self, call: Call) -> AbstractAsyncContextManager[None] | None:
        return self.wrap(call) if call.role == "decoder" else None

    @asynccontextmanager
    async def wrap(self, call: Call) -> AsyncIterator[None]:
        assert call.reserve >= call.args["request"].max_tokens
        self.action(call)
        yield
        assert call.usage.started + call.usage.cached == 1


def test_a_wrapper_can_answer_in_the_decoders_place_and_is_counted_as_cached() -> None:
    class Cache(Gate):
        @staticmethod
        def action(call: Call) -> None:
            call.result = [Completion(text="from the cache", tokens=3)]

    made = runtime({"hooks": {"gate": {}}}, gate=("hook", Cache))
    assert solve(made).answer == "from the cache"
    total = made.ledger.total
    assert (total.started, total.cached, total.tokens) == (0, 1, 0)


def test_a_wrapper_can_veto_and_nothing_has_started() -> None:
    class Veto(Gate):
        @staticmethod
        def action(call: Call) -> None:
            raise LimitExceeded("enough", "hooks.gate.tokens")

    made = runtime({"hooks": {"gate": {}}}, gate=("hook", Veto))
    with pytest.raises(LimitExceeded, match="enough"):
        solve(made)
    assert made.ledger.total.started == 0
    assert not plugin(made, "decoders.solver").requests


def test_wrappers_nest_by_rank() -> None:
    order: list[str] = []

    def ranked(name: str, place: int) -> tuple[str, type[Plugin]]:
        class Ranked(Gate):
            rank = place

            @staticmethod
            def action(call: Call) -> None:
                order.append(name)

        return "hook", Ranked

    hooks = {"budget": {}, "first": {}, "safety": {}, "second": {}}
    parts = {"first": ranked("first", 50), "second": ranked("second", 50)}
    solve(runtime({"hooks": hooks}, budget=ranked("budget", 90), safety=ranked("safety", 10), **parts))
    assert order == ["safety", "first", "second", "budget"]


def test_a_wrapper_that_fails_is_named_and_nothing_has_started() -> None:
    class Fails(Gate):
        @staticmethod
        def action(call: Call) -> None:
            raise KeyError("oops")

    made = runtime({"hooks": {"gate": {}}}, gate=("hook", Fails))
    with pytest.raises(PluginError, match=r"hooks\.gate \(hook\): KeyError: 'oops'"):
        solve(made)
    assert made.ledger.total.started == 0


def test_a_wrapper_that_fails_on_the_way_out_is_a_plugin_error_and_the_call_is_counted() -> None:
    class Fails(Gate):
        @asynccontextmanager
        async def wrap(self, call: Call) -> AsyncIterator[None]:
            yield
            raise OSError("disk full")

    made = runtime({"hooks": {"gate": {}}}, gate=("hook", Fails))
    with pytest.raises(PluginError, match=r"a hook around decoders\.solver \(decoder\): OSError: disk full"):
        solve(made)
    assert made.ledger.total.served == 1


def test_an_observer_that_fails_changes_nothing() -> None:
    class Fails(Plugin):
        config: Nothing

        @hookimpl
        def k2_event(self) -> None:
            raise RuntimeError("blind")

    result = solve(runtime({"hooks": {"fails": {}, "recorder": {}}}, fails=("hook", Fails)))
    assert result.answer
    assert not result.warnings


def test_an_unknown_decoder_is_named() -> None:
    class Wrong(Plugin):
        config: Nothing

        @hookimpl
        async def k2_sample(self, run: Run) -> list[Candidate]:
            await run.decode(DecodeRequest(messages=(Message(role="user", content="x"),), decoder="solvr"))
            raise AssertionError

    with pytest.raises(ConfigError, match=r"decoders.solvr: there is no decoder 'solvr'; \[decoders\] has: solver"):
        solve(runtime({"sampler": {"use": "wrong"}}, wrong=("sampler", Wrong)))


def test_the_reference_reaches_verifiers_only() -> None:
    """By construction: no field of what planners, samplers and decoders get can hold one."""
    with pytest.raises(ValueError, match="reference"):
        Problem(prompt="x", reference="4")  # type: ignore[call-arg] # that is the point

    async def main() -> list[Verdict]:
        async with runtime({"verifiers": {"votes": {}}}) as made, made.open("x") as run:
            return list(await run.verify([Candidate(id="a", text="4"), Candidate(id="b", text="5")], reference="4"))

    assert [v.status for v in asyncio.run(main())] == ["correct", "incorrect"]


def test_seeds_are_the_runs_own_and_repeatable() -> None:
    async def seeds(seed: int | None) -> list[int | None]:
        made = runtime({"sampler": {"use": "samples", "n": 3}})
        async with made:
            await made.solve("x", seed=seed)
        return [r.seed for r in plugin(made, "decoders.solver").requests]

    first, second, third = (asyncio.run(seeds(s)) for s in (1, 1, 2))
    assert first == second != third
    assert len(set(first)) == 3
    assert asyncio.run(seeds(None)) != asyncio.run(seeds(None))


def test_a_plugin_has_a_state_of_its_own_in_each_run() -> None:
    seen: list[tuple[str, int]] = []

    class Counts(FakeDecoder):
        @hookimpl
        async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
            run.state["calls"] = run.state.get("calls", 0) + 1
            seen.append((self.path, run.state["calls"]))
            return await super().k2_decode(run, request)

    class Asks(Votes):
        @hookimpl
        async def k2_verify(self, run: Run, candidates: Sequence[Candidate]) -> list[Verdict]:
            assert run.state == {}
            await run.decode(DecodeRequest(messages=(Message(role="user", content="x"),), decoder="judge"))
            return [Verdict(candidate_id=c.id, status="undecided") for c in candidates]

    config = {
        "sampler": {"use": "samples", "n": 2},
        "verifiers": {"asks": {}},
        "decoders": {"solver": {"use": "fake"}, "judge": {"use": "fake"}},
    }
    made = runtime(config, fake=("decoder", Counts), asks=("verifier", Asks))
    solve(made)
    solve(made)
    assert seen == [("decoders.solver", 1), ("decoders.solver", 2), ("decoders.judge", 1)] * 2


def test_prices_are_applied() -> None:
    made = runtime({"prices": {"solver": {"prompt": 1.0, "completion": 2.0}}})
    solve(made)
    total = made.ledger.total
    assert total.cost == pytest.approx((total.prompt_tokens + 2 * total.completion_tokens) / 1e6)
    assert total.cost > 0


def test_delta_and_meter_are_for_decoders_at_work() -> None:
    async def main() -> None:
        async with runtime() as made, made.open("x") as run:
            with pytest.raises(RuntimeError, match="while it serves a call"):
                run.delta("late")

    asyncio.run(main())


def test_configurations_of_parts_are_typed() -> None:
    assert SamplesConfig.decoder_fields() == ["decoder"]
    assert VotesConfig.decoder_fields() == []
