"""Tools on their way through a pipeline: who is offered them, how calls vote, and what a decoder that cannot call any costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from parts import Recorder, runtime, solve

from k2core import Candidate, Completion, DecodeRequest, Message, Plan, Plugin, PluginError, Problem, Run, hookimpl
from k2core.ledger import prompt_bound
from k2core.plugin import PluginConfig
from k2core.testing import FakeDecoder, fake_decoder
from k2core.toolkit.calls import Calls, canonical
from k2core.types import ToolCall, Tools

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TOOLS = Tools(functions=(WEATHER,))
PROBLEM = Problem(prompt="What is the weather in Paris?", tools=TOOLS)


def call(city: str, id: str = "1") -> ToolCall:
    return ToolCall(id=id, name="weather", arguments=f'{{"city": "{city}"}}')


def deciding(*calls: Sequence[ToolCall] | str) -> tuple[str, type[Plugin]]:
    """A decoder that has a reply for each candidate."""
    return "decoder", fake_decoder(lambda request, index: calls[int(request.candidates[index])])


class Cannot(FakeDecoder):
    calls_tools = False


class Nothing(PluginConfig):
    pass


class PlansByModel(Plugin):
    """Asks the solver's decoder for a plan."""

    config: Nothing

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan | None:
        [made] = await run.decode(DecodeRequest(messages=(Message(role="user", content=problem.text),), role="plan"))
        return Plan(prompt=made.text)


def test_solvers_are_offered_the_tools_and_planners_are_not() -> None:
    offered: dict[str, Any] = {}

    def respond(request: DecodeRequest, index: int) -> str | Sequence[ToolCall]:
        offered[request.role] = request.tools
        return [call("Paris")] if request.tools else "Look it up."

    made = runtime({"planner": {"use": "asks"}}, fake=("decoder", fake_decoder(respond)), asks=("planner", PlansByModel))
    with made:
        result = made.solve_sync(PROBLEM)
    assert offered == {"plan": None, "solve": TOOLS}
    assert result.answer == '[{"arguments": {"city": "Paris"}, "name": "weather"}]'
    assert result.candidate.completion
    assert result.candidate.completion.tool_calls == (call("Paris"),)
    assert result.candidate.completion.finish == "tool"


def test_equal_calls_vote_together() -> None:
    config = {"sampler": {"use": "samples", "n": 3}, "verifiers": {"votes": {}}}
    oslo = ToolCall(id="b", name="weather", arguments='{ "city":"Oslo" }')
    with runtime(config, fake=deciding([call("Paris")], [call("Oslo", "a")], [oslo])) as made:
        result = made.solve_sync(PROBLEM)
    assert result.candidate.id == "1"
    assert result.scores == {"0": pytest.approx(1 / 3), "1": pytest.approx(2 / 3), "2": pytest.approx(2 / 3)}


def test_a_decoder_that_cannot_call_tools_refuses_before_anything_is_spent() -> None:
    config = {"planner": {"use": "asks"}}
    with runtime(config, fake=("decoder", Cannot), asks=("planner", PlansByModel)) as made:
        with pytest.raises(PluginError, match=r"fake \(decoder\): it cannot call tools"):
            made.solve_sync(PROBLEM)
        assert made.ledger.total.started == 0


def test_so_does_one_that_the_sampler_does_not_name_and_one_that_gets_a_history_with_calls() -> None:
    history = (Message(role="user", content="?"), Message(role="assistant", content="", tool_calls=(call("Paris"),)))

    class Hidden(Plugin):
        config: Nothing

        @hookimpl
        async def k2_sample(self, run: Run, problem: Problem) -> Sequence[Candidate]:
            [made] = await run.decode(DecodeRequest(messages=history, role="judge"))
            return [Candidate(id="0", text=made.text, completion=made)]

    with runtime({"sampler": {"use": "hidden"}}, fake=("decoder", Cannot), hidden=("sampler", Hidden)) as made:
        with pytest.raises(PluginError, match="cannot call tools"):
            made.solve_sync("?")
        assert made.ledger.total.started == 0
        with pytest.raises(PluginError, match="cannot call tools"):
            made.solve_sync(Problem(messages=history))


def test_one_of_several_decoders_is_enough_to_begin() -> None:
    config = {"decoders": {"solver": {"use": "fake"}, "other": {"use": "cannot"}}}
    with runtime(config, fake=deciding([call("Paris")]), cannot=("decoder", Cannot)) as made:
        assert made.solve_sync(PROBLEM).candidate.text.startswith("[{")


def test_a_candidate_keeps_the_answer_and_the_words_that_it_has() -> None:
    made = Completion(text="I look.", tool_calls=(call("Paris"),), finish="tool")
    candidate = Candidate(id="0", text=made.text, completion=made)
    assert (candidate.text, candidate.answer) == ("I look.", canonical(made.tool_calls))
    assert Candidate(id="0", text="x", answer="y", completion=made).answer == "y"
    assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([call("Oslo", "a"), call("Rome", "b")], [call("Rome", "c"), call("Oslo", "d")]),
        ([ToolCall(id="", name="f", arguments='{"a":1,"b":[2]}')], [ToolCall(id="", name="f", arguments='{"b": [2], "a": 1}')]),
        ([ToolCall(id="1", name="f", arguments="{")], [ToolCall(id="2", name="f", arguments="{")]),
    ],
)
def test_the_same_calls_have_the_same_form(one: Sequence[ToolCall], other: Sequence[ToolCall]) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("arguments", ["[" * 100_000, "1" * 10_000, "NaN", '"\\ud800"', ""])
def test_odd_arguments_have_a_form_too(arguments: str) -> None:
    assert canonical([ToolCall(id="1", name="f", arguments=arguments)]).isascii()
    assert canonical([call("Oslo")]) != canonical([ToolCall(id="1", name="weather", arguments=arguments)])


def test_calls_in_pieces() -> None:
    calls = Calls()
    calls.take(0, "a", "f", "")
    calls.take(0, None, None, '{"x"')
    calls.take(1, "b", "g", None)
    calls.take(0, "a", None, ": 1}")
    calls.take(1, None, None, {"y": 2})
    assert calls.made() == (ToolCall(id="a", name="f", arguments='{"x": 1}'), ToolCall(id="b", name="g", arguments='{"y": 2}'))


@pytest.mark.parametrize("index", [0, None])
def test_several_calls_that_are_all_numbered_alike(index: int | None) -> None:
    calls = Calls()
    calls.take(index, "a", "f", "{}")
    calls.take(index, "b", "f", "{}")
    assert [one.id for one in calls.made()] == ["a", "b"]


def test_a_call_without_an_id_gets_one_and_one_without_a_name_is_none() -> None:
    calls = Calls()
    calls.take(0, None, "f", "{}")
    assert calls.made()[0].id.startswith("call_")
    with pytest.raises(TypeError, match="not begun"):
        calls.take(1, "b", None, "{}")


def test_tools_are_part_of_what_a_call_reserves() -> None:
    request = DecodeRequest(messages=(Message(role="user", content="?"),))
    assert prompt_bound(request.model_copy(update={"tools": TOOLS})) > prompt_bound(request) + len(str(WEATHER))


def test_a_problem_with_a_nul_character_in_a_call_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Problem(messages=(Message(role="user", content="?"), Message(role="assistant", content="", tool_calls=(call("\0"),))))


def test_the_trace_has_the_offer_and_the_calls() -> None:
    made = runtime({"hooks": {"recorder": {}}}, fake=deciding([call("Paris")]))
    recorder = next(slot.plugin for slot in made._pipeline.slots if isinstance(slot.plugin, Recorder))
    solve(made, PROBLEM)
    started = next(event for event in recorder.events if event.kind == "call_started")
    ended = next(event for event in recorder.events if event.kind == "call_ended")
    assert started.request.tools == TOOLS  # type: ignore[attr-defined]
    assert ended.completions[0].tool_calls == (call("Paris"),)  # type: ignore[attr-defined]
