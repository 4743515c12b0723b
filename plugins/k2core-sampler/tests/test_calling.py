"""Every sampler with a solver that calls tools: calls vote, and are neither bettered nor gone on with."""

from __future__ import annotations

from typing import Any

import pytest

from k2core import DecodeRequest, PipelineConfig, Problem, Registry, Result, Runtime
from k2core.testing import FakeDecoder, fake_decoder
from k2core.types import ToolCall, Tools

PROBLEM = Problem(prompt="Weather?", tools=Tools(functions=({"type": "function", "function": {"name": "weather"}},)))
VOTED = '[{"arguments": {"city": "Oslo"}, "name": "weather"}]'


def solved(sampler: dict[str, Any], cities: list[str]) -> tuple[Result, FakeDecoder]:
    """The solver calls the weather of one city after the other."""
    turns = iter(cities)

    def respond(request: DecodeRequest, index: int) -> list[ToolCall]:
        assert request.tools == PROBLEM.tools
        city = next(turns)
        return [ToolCall(id=f"id of {city}", name="weather", arguments=f'{{"city": "{city}"}}')]

    registry = Registry()
    registry.add("decoder", "calls", fake_decoder(respond))
    tables = {"sampler": sampler, "decoders": {"solver": {"use": "calls"}}, "verifiers": {"math": {}}}
    with Runtime(PipelineConfig.from_dict(tables), registry=registry) as runtime:
        result = runtime.solve_sync(PROBLEM)
        (decoder,) = (slot.plugin for slot in runtime._pipeline.slots if slot.role == "decoder")
    assert isinstance(decoder, FakeDecoder)
    return result, decoder


@pytest.mark.parametrize(
    ("sampler", "cities"),
    [
        ({"use": "single"}, ["Oslo"]),
        ({"use": "best-of-n", "n": 3}, ["Rome", "Oslo", "Oslo"]),
        ({"use": "majority", "n": 3}, ["Rome", "Oslo", "Oslo"]),
        ({"use": "majority", "n": 3, "batch": "all"}, ["Rome", "Oslo", "Oslo"]),
        ({"use": "adaptive", "n": 5}, ["Rome", "Oslo", "Oslo", "Oslo", "Oslo"]),
        ({"use": "beam", "verifier": "math", "prefix": "prompt"}, ["Oslo"] * 64),
        ({"use": "particle", "n": 4, "verifier": "math", "prefix": "prompt"}, ["Oslo"] * 64),
    ],
    ids=lambda value: value["use"] if isinstance(value, dict) else "",
)
def test_the_calls_of_most_candidates_are_chosen(sampler: dict[str, Any], cities: list[str]) -> None:
    result, _ = solved(sampler, cities)
    assert result.answer == VOTED
    assert result.candidate.completion
    assert result.candidate.completion.tool_calls[0].id == "id of Oslo"


def test_a_call_is_not_bettered() -> None:
    result, decoder = solved({"use": "refine", "rounds": 3}, ["Oslo"])
    assert (result.answer, len(decoder.requests)) == (VOTED, 1)
