"""The samplers in a whole pipeline, with scripted decoders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from k2core_sampler.samplers import batch_sizes

from k2core import ConfigError, K2Error, LimitExceeded, PipelineConfig, PluginError, Problem, Registry, Result, Runtime
from k2core.events import CandidateFailed, CandidateMade, Delta, Event
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Call, Run
from k2core.testing import fake_decoder
from k2core.types import DecodeRequest, Plan

PROBLEM = Problem(prompt="What is 2 + 2?")


class Back:
    """A scripted back end and the requests it saw."""

    def __init__(self, reply: Callable[[DecodeRequest, int], str | Exception]) -> None:
        self.reply, self.requests = reply, list[DecodeRequest]()

    def plugin(self) -> type[Plugin]:
        return fake_decoder(self._respond)

    def _respond(self, request: DecodeRequest, index: int) -> str | Exception:
        if index == 0:
            self.requests.append(request)
        return self.reply(request, index)


def by_candidate(*replies: str | Exception) -> Back:
    return Back(lambda request, index: replies[int(request.candidates[index])])


class Watch(Plugin):
    """Keeps the events of a run."""

    config: PluginConfig
    seen: list[Event]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        self.seen.append(event)


def pipeline(sampler: dict[str, Any], **more: Any) -> PipelineConfig:
    data = {"sampler": {"use": "best-of-n", **sampler}, "decoders": {"solver": {"use": "back"}}, "hooks": {"watch": {}}, **more}
    return PipelineConfig.from_dict(data)


def registered(back: Back, seen: list[Event], **plugins: tuple[str, type[Plugin]]) -> Registry:
    registry = Registry()
    registry.add("decoder", "back", back.plugin())
    registry.add("hook", "watch", type("Watcher", (Watch,), {"seen": seen, "__module__": __name__}))
    for name, (role, cls) in plugins.items():
        registry.add(role, name, cls)
    return registry


def solve(back: Back, config: PipelineConfig, seed: int = 1, **plugins: tuple[str, type[Plugin]]) -> tuple[Result, list[Event]]:
    """Run the pipeline to its end and check that nothing is left behind."""
    seen: list[Event] = []

    async def main() -> Result:
        async with Runtime(config, registry=registered(back, seen, **plugins)) as runtime:
            result = await runtime.solve(PROBLEM, seed=seed)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(main()), seen


def texts(result: Result) -> list[str]:
    return [candidate.text for candidate in result.candidates]


def test_single_makes_one_candidate() -> None:
    back = by_candidate("one")
    result, _ = solve(back, pipeline({"use": "single", "max_tokens": 7, "temperature": 0.1, "top_p": 0.5, "stop": ["#"]}))
    (request,) = back.requests
    assert [(c.id, c.text) for c in result.candidates] == [("0", "one")]
    assert (request.n, request.max_tokens, request.temperature, request.top_p, request.stop) == (1, 7, 0.1, 0.5, ("#",))
    assert (request.role, request.decoder, request.candidates) == ("solve", "solver", ("0",))


def test_single_s_error_is_the_decoder_s() -> None:
    with pytest.raises(PluginError, match="no such model") as caught:
        solve(by_candidate(ValueError("no such model")), pipeline({"use": "single"}))
    assert caught.value.role == "decoder"


def test_candidates_come_in_index_order_and_are_announced_as_they_finish() -> None:
    back = by_candidate("a " * 30 + "slow", "b " * 10 + "middle", "quick")
    result, seen = solve(back, pipeline({"n": 3}))
    assert [c.id for c in result.candidates] == ["0", "1", "2"]
    assert [e.candidate.id for e in seen if isinstance(e, CandidateMade)] == ["2", "1", "0"]


@pytest.mark.parametrize("batch", [1, 2, "all"])
def test_deltas_of_each_candidate_spell_its_text(batch: int | str) -> None:
    result, seen = solve(by_candidate("a b c", "d e", "f"), pipeline({"n": 3, "batch": batch}))
    for candidate in result.candidates:
        spelt = "".join(e.text for e in seen if isinstance(e, Delta) and e.candidate == candidate.id)
        assert spelt.strip() == candidate.text


def test_batches() -> None:
    assert batch_sizes(5, 1) == [1] * 5
    assert batch_sizes(5, 2) == [2, 2, 1]
    assert batch_sizes(5, "all") == batch_sizes(5, 9) == [5]
    back = by_candidate("0", "1", "2", "3", "4")
    result, _ = solve(back, pipeline({"n": 5, "batch": 2}))
    assert [r.candidates for r in back.requests] == [("0", "1"), ("2", "3"), ("4",)]
    assert texts(result) == ["0", "1", "2", "3", "4"]


def test_every_candidate_has_its_own_seed_and_the_run_s_seed_decides_all() -> None:
    def seeds(seed: int) -> list[int | None]:
        back = by_candidate("x", "x", "x")
        solve(back, pipeline({"n": 3}), seed=seed)
        return [request.seed for request in sorted(back.requests, key=lambda r: r.candidates)]

    assert seeds(1) == seeds(1)
    assert len(set(seeds(1))) == 3
    assert not set(seeds(1)) & set(seeds(2))


def test_batch_and_single_start_from_the_seed_of_their_first_candidate() -> None:
    seeds = []
    for options in ({"use": "single"}, {"n": 2, "batch": "all"}, {"n": 2}):
        back = by_candidate("x", "x")
        solve(back, pipeline(options))
        seeds.append(min(back.requests, key=lambda r: r.candidates).seed)
    assert len(set(seeds)) == 1


def test_same_seed_same_candidates_with_a_decoder_that_heeds_it() -> None:
    def run(seed: int) -> list[str]:
        return texts(solve(Back(lambda request, index: f"{request.seed}"), pipeline({"n": 3}), seed=seed)[0])

    assert run(5) == run(5) != run(6)


def test_one_failure_does_not_hurt_the_others() -> None:
    back = by_candidate("left", ConnectionError("reset by peer"), "right")
    result, seen = solve(back, pipeline({"n": 3}))
    assert [c.id for c in result.candidates] == ["0", "2"]
    (failed,) = [e for e in seen if isinstance(e, CandidateFailed)]
    assert failed.candidate_id == "1"
    assert "reset by peer" in failed.error
    assert any("candidate 1 failed" in warning and "reset by peer" in warning for warning in result.warnings)


def test_a_failed_batch_takes_its_own_candidates_only() -> None:
    back = by_candidate("0", "1", "2", ConnectionError("reset"))
    result, seen = solve(back, pipeline({"n": 4, "batch": 2}))
    assert texts(result) == ["0", "1"]
    assert [e.candidate_id for e in seen if isinstance(e, CandidateFailed)] == ["2", "3"]


def test_all_failed_is_one_error_that_names_the_causes() -> None:
    back = by_candidate(ConnectionError("reset"), ValueError("bad token"), ConnectionError("reset"))
    with pytest.raises(K2Error, match="all 3 candidates failed") as caught:
        solve(back, pipeline({"n": 3}))
    assert not isinstance(caught.value, ExceptionGroup)
    assert str(caught.value).count("reset") == str(caught.value).count("bad token") == 1
    assert len(back.requests) == 3


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


def test_budget_that_ends_midway_keeps_what_there_is() -> None:
    config = pipeline({"n": 5}, hooks={"watch": {}, "allowance": {}})
    result, _ = solve(by_candidate(*"01234"), config, allowance=("hook", Allowance))
    assert texts(result) == ["0", "1"]
    assert sum("no calls left" in warning for warning in result.warnings) == 3


def test_budget_spent_before_the_first_candidate_is_a_limit() -> None:
    config = pipeline({"n": 3}, hooks={"watch": {}, "allowance": {}})
    with pytest.raises(LimitExceeded) as caught:
        solve(by_candidate(*"012"), config, allowance=("hook", NoAllowance))
    assert caught.value.limit == "hooks.allowance.calls"


class Numbered(Plugin):
    """A planner whose plans differ."""

    config: PluginConfig

    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config)
        self.made = 0

    @hookimpl
    async def k2_plan(self, problem: Problem) -> Plan:
        self.made += 1
        return Plan(prompt=f"way {self.made}")


@pytest.mark.parametrize(("mode", "batch", "ways"), [("problem", 1, 1), ("sample", 1, 3), ("sample", "all", 1)])
def test_plan_once_a_problem_or_for_each_call(mode: str, batch: int | str, ways: int) -> None:
    back = by_candidate("0", "1", "2")
    config = pipeline({"n": 3, "batch": batch}, plan=mode, planner={"use": "numbered"})
    solve(back, config, numbered=("planner", Numbered))
    plans = {m.content.split("<plan>\n")[1].split("\n</plan>")[0] for r in back.requests for m in r.messages}
    assert plans == {f"way {i + 1}" for i in range(ways)}


def test_decoder_field_chooses_the_back_end() -> None:
    back = by_candidate("theirs")
    other = fake_decoder(lambda request, index: "other")
    config = pipeline({"n": 1, "decoder": "big"}, decoders={"solver": {"use": "back"}, "big": {"use": "other"}})
    result, _ = solve(back, config, other=("decoder", other))
    assert texts(result) == ["other"]
    assert not back.requests


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"batch": 0}, {"batch": "some"}, {"temperature": -1}, {"typo": 1}, {"decoder": "none"}, {"max_tokens": 0}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"sampler\.{next(iter(wrong))}"):
        solve(by_candidate("x"), pipeline(wrong))
