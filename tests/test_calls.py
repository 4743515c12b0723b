"""Calls: retries, time-outs, cancellation, events, wrappers, state, and what the ledger says of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from parts import Nothing, Samples, SamplesConfig, Votes, VotesConfig, plugin, runtime, solve

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
    PluginError,
    Problem,
    Run,
    TransientError,
    Verdict,
    hookimpl,
)
from k2core.events import CallEnded, CandidateMade, Delta, RunEnded, RunStarted
from k2core.testing import FakeDecoder, fake_decoder


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


def test_a_hook_has_a_state_of_its_own_apart_from_what_it_wraps() -> None:
    calls: list[int] = []

    class Counts(Gate):
        @hookimpl
        def k2_around(self, run: Run, call: Call) -> None:
            run.state["calls"] = run.state.get("calls", 0) + 1
            calls.append(run.state["calls"])

    class Clean(FakeDecoder):
        @hookimpl
        async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
            assert run.state == {}
            return await super().k2_decode(run, request)

    config = {"hooks": {"counts": {}}, "verifiers": {"votes": {}}}
    solve(runtime(config, counts=("hook", Counts), fake=("decoder", Clean)))
    assert calls == [1, 2, 3]  # sampler, decoder, verifier


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
    assert SamplesConfig().named("decoders") == {"decoder": "solver"}
    assert VotesConfig().named("decoders") == {}
