"""The planner in a whole pipeline, with scripted models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from k2core_planner_think import Reply, find_leaks, read_reply
from k2core_planner_think.planner import clip
from k2core_planner_think.prompt import EASY as EASY_EXAMPLE
from k2core_planner_think.prompt import HARD as HARD_EXAMPLE

from k2core import ConfigError, DecodeRequest, Message, PipelineConfig, Plan, Problem, Registry, Result, Runtime
from k2core.testing import FakeDecoder, fake_decoder

PROBLEM = Problem(prompt="A train needs 3 hours for 180 km. How fast is it?")
HARD = json.dumps({"topics": ["speed"], "hard": True})
EASY = json.dumps({"topics": ["speed"], "hard": False})
PLAN = "1. Divide distance by time.\n2. Check the unit."
LEAKY = "1. Divide distance by time. The answer is 60.\n2. Check the unit."

Answer = Callable[[DecodeRequest, int], str | Exception]


def script(*replies: str | Exception) -> tuple[type[FakeDecoder], list[DecodeRequest]]:
    """A decoder whose planning calls get these replies in turn, and the planning requests it saw."""
    seen: list[DecodeRequest] = []

    def respond(request: DecodeRequest, index: int) -> str | Exception:
        if request.role != "plan":
            return "\\boxed{60}"
        seen.append(request)
        return replies[len(seen) - 1]

    return fake_decoder(respond), seen


def solve(fake: type[FakeDecoder], problem: Problem = PROBLEM, seed: int = 1, **options: Any) -> Result:
    registry = Registry()
    registry.add("decoder", "fake", fake)
    sampler = options.pop("sampler", {"use": "single"})
    pipeline = {key: options.pop(key) for key in ("plan",) if key in options}
    config = PipelineConfig.from_dict(
        {**pipeline, "planner": {"use": "think", **options}, "sampler": sampler, "decoders": {"solver": {"use": "fake"}}}
    )

    async def main() -> Result:
        async with Runtime(config, registry=registry) as runtime:
            result = await runtime.solve(problem, seed=seed)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(main())


def test_hard_problem_takes_two_calls() -> None:
    decoder, seen = script(HARD, PLAN)
    result = solve(decoder, max_tokens=99, temperature=0.1, top_p=0.5)
    assert result.plan == Plan(prompt=PLAN, topics=("speed",), hard=True)
    judge, plan = seen
    assert judge.json_schema is not None
    assert plan.json_schema is None
    assert PROBLEM.prompt in judge.messages[-1].content
    assert PROBLEM.prompt in plan.messages[-1].content
    assert "speed" in plan.messages[-1].content
    assert {(r.role, r.n, r.max_tokens, r.temperature, r.top_p, r.candidates) for r in seen} == {("plan", 1, 99, 0.1, 0.5, ())}
    assert result.usage["plan"].served == 2
    assert not result.warnings


def test_easy_problem_gets_no_plan() -> None:
    decoder, seen = script(EASY)
    assert solve(decoder).plan is None
    assert len(seen) == 1


def test_always_plan() -> None:
    decoder, _ = script(EASY, PLAN)
    assert solve(decoder, always_plan=True).plan == Plan(prompt=PLAN, topics=("speed",), hard=False)


def test_one_call_does_it_all() -> None:
    decoder, seen = script(json.dumps({"topics": ["speed"], "hard": True, "plan": PLAN}))
    assert solve(decoder, calls=1).plan == Plan(prompt=PLAN, topics=("speed",))
    assert seen[0].json_schema is not None
    assert "plan" in seen[0].json_schema["required"]


def test_unstructured_asks_without_schema() -> None:
    decoder, seen = script("hard: yes, topics: ['speed']", PLAN)
    assert solve(decoder, structured=False).plan == Plan(prompt=PLAN, topics=("speed",))
    assert seen[0].json_schema is None


def test_model_without_json_is_taken_as_prose() -> None:
    decoder, _ = script(PLAN)
    assert solve(decoder, calls=1).plan == Plan(prompt=PLAN)
    decoder, seen = script("I think it is quite hard!", PLAN)
    assert solve(decoder).plan == Plan(prompt=PLAN)
    assert len(seen) == 2


def test_plan_wrapped_in_json_is_unwrapped() -> None:
    decoder, _ = script(HARD, json.dumps({"plan": ["Divide.", "Check."]}))
    assert solve(decoder).plan == Plan(prompt="Divide.\nCheck.", topics=("speed",))


def test_no_plan_is_none_and_warned_of() -> None:
    decoder, _ = script(HARD, "")
    result = solve(decoder)
    assert result.plan is None
    assert any("no plan" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("leak", "replies", "wanted", "warnings"),
    [
        ("strip", (HARD, LEAKY), PLAN, 1),
        ("drop", (HARD, LEAKY), None, 1),
        ("retry", (HARD, LEAKY, "1. Divide."), "1. Divide.", 1),
        ("retry", (HARD, LEAKY, LEAKY), PLAN, 2),
        ("strip", (HARD, "\\boxed{60}"), None, 1),
    ],
)
def test_disclosed_answer(leak: str, replies: tuple[str, ...], wanted: str | None, warnings: int) -> None:
    decoder, seen = script(*replies)
    result = solve(decoder, leak=leak)
    assert (result.plan.prompt if result.plan else None) == wanted
    assert len(seen) == len(replies)
    assert sum("planner" in warning for warning in result.warnings) == warnings
    if len(seen) == 3:
        assert seen[1].messages != seen[2].messages
        assert seen[1].seed != seen[2].seed


def test_retry_in_one_call() -> None:
    replies = [json.dumps({"topics": [], "hard": True, "plan": plan}) for plan in (LEAKY, "1. Divide.")]
    decoder, seen = script(*replies)
    assert solve(decoder, calls=1, leak="retry").plan == Plan(prompt="1. Divide.")
    assert len(seen) == 2


def test_failed_call_is_the_kernel_s_to_handle() -> None:
    decoder, _ = script(ConnectionError("refused"))
    result = solve(decoder)
    assert result.plan is None
    assert any("going on without a plan" in warning and "refused" in warning for warning in result.warnings)


def test_once_a_problem_or_once_a_sample_with_seeds_of_their_own() -> None:
    sampler = {"use": "best-of-n", "n": 3}
    decoder, seen = script(*[EASY] * 3)
    solve(decoder, sampler=sampler)
    assert len(seen) == 1
    decoder, seen = script(*[EASY] * 3)
    solve(decoder, sampler=sampler, plan="sample")
    assert len({request.seed for request in seen}) == len(seen) == 3


def test_seeds_follow_the_run_s() -> None:
    def seeds(seed: int) -> list[int | None]:
        decoder, seen = script(HARD, PLAN)
        solve(decoder, seed=seed)
        return [request.seed for request in seen]

    assert seeds(1) == seeds(1) != seeds(2)
    assert len(set(seeds(1))) == 2


def test_reply_cut_for_length_loses_its_half_line() -> None:
    decoder, _ = script(HARD, "1. Divide distance by time.\n2. Then you must check the")
    assert solve(decoder, max_tokens=8).plan == Plan(prompt="1. Divide distance by time.", topics=("speed",))


def test_long_plans_are_clipped() -> None:
    decoder, _ = script(HARD, PLAN)
    plan = solve(decoder, max_length=40).plan
    assert plan is not None
    assert plan.prompt == "1. Divide distance by time."
    assert clip("One. Two. Three.", 9) == clip("One. Two. Three.", 11) == "One. Two."
    assert clip("unbroken", 3) == "unb"
    assert clip("short", 5) == "short"


def test_chat_is_planned_for_as_a_whole() -> None:
    turns = (
        Message(role="user", content="I drove 180 km."),
        Message(role="assistant", content="Ok."),
        Message(role="user", content="How fast?"),
    )
    decoder, seen = script(EASY)
    solve(decoder, Problem(messages=turns))
    assert all(turn.content in seen[0].messages[-1].content for turn in turns)


def test_braces_in_a_problem_do_no_harm() -> None:
    decoder, _ = script(HARD, PLAN)
    assert solve(decoder, Problem(prompt="What is {0} in \\frac{1}{2}?")).plan is not None


@pytest.mark.parametrize("wrong", [{"calls": 3}, {"leak": "keep"}, {"max_steps": 0}, {"decoder": "none"}, {"typo": 1}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"planner\.{next(iter(wrong))}"):
        solve(script()[0], **wrong)


@pytest.mark.parametrize("calls", [1, 2])
def test_examples_are_turns_before_the_problem_and_can_be_left_out(calls: int) -> None:
    for examples in (True, False):
        decoder, seen = script(HARD, PLAN)
        solve(decoder, calls=calls, examples=examples)
        for request in seen:
            assert (len(request.messages) > 1) is examples
            assert [m.role for m in request.messages] == ["user", "assistant"] * (len(request.messages) // 2) + ["user"]


def test_example_replies_are_what_the_parser_and_the_guard_accept() -> None:
    for shown in (EASY_EXAMPLE, HARD_EXAMPLE):
        assert read_reply(shown.reply(plan=True)) == Reply(shown.hard, tuple(shown.topics), shown.plan, True)
        assert not find_leaks(shown.plan)
