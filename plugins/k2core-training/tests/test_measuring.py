"""How well a pipeline answers: right, wrong, without an answer, and with verifiers that fail or hang."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from k2core_training.measuring import accuracy, right

from k2core import (
    Candidate,
    Completion,
    DecodeRequest,
    PipelineConfig,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Runtime,
    Task,
    Verdict,
    hookimpl,
)


class Nothing(PluginConfig):
    pass


class Parrot(Plugin):
    """Says the question again; fails at "fail"."""

    config: Nothing

    @hookimpl
    async def k2_decode(self, request: DecodeRequest) -> Sequence[Completion]:
        said = request.messages[-1].content
        if said == "fail":
            raise ValueError("it fails")
        return [Completion(text=said, tokens=len(said), finish="stop") for _ in range(request.n)]


class Odd(Plugin):
    """Raises at "raise", hangs at "hang" where there is a reference, and knows which texts are equal."""

    config: Nothing

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        said = candidates[0].text
        if reference and said == "raise":
            raise ValueError("broken")
        if reference and said == "hang":
            await asyncio.sleep(60)
        return [Verdict(candidate_id=c.id, status="correct" if c.text == reference else "incorrect", score=0.5) for c in candidates]


def measured(*asked: str, whole: bool = False) -> dict[str, float]:
    """Of tasks whose reference is "4"."""
    registry = Registry()
    registry.add("decoder", "parrot", Parrot)
    registry.add("verifier", "odd", Odd)
    pipeline = {
        "sampler": {"use": "single", "instructions": False},
        "decoders": {"solver": {"use": "parrot"}},
        "verifiers": {"odd": {}},
    }
    tasks = [Task(problem=Problem(prompt=text), reference="4") for text in asked]
    score = (lambda verdicts: verdicts[0].score) if whole else right

    async def main() -> dict[str, float]:
        async with Runtime(PipelineConfig.from_dict(pipeline), registry=registry) as runtime:
            return await accuracy(runtime, tasks, 8, 0, 0.2, score)

    return asyncio.run(main())


def test_what_is_counted() -> None:
    assert measured("4", "five", "fail", "raise", "hang") == {
        "accuracy": pytest.approx(1 / 3),  # what failed is wrong, and what nobody judged is not counted
        "failed": 1,
        "unjudged": 2,
        "tokens": (1 + 4 + 5 + 4) / 4,
        "response_length": (1 + 4 + 5 + 4) / 4,
    }


def test_a_score_of_ones_own() -> None:
    assert measured("4", "five", whole=True)["accuracy"] == 0.5


def test_nothing_is_said_of_what_is_not_there() -> None:
    assert measured("fail") == {"accuracy": 0, "failed": 1, "unjudged": 0}
    assert measured("raise").keys() == {"failed", "unjudged", "tokens", "response_length"}
