"""How well a pipeline answers: right, wrong, without an answer, and with verifiers that fail or hang."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from k2core_training.measuring import accuracy, common_answer, key_of, right

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
    """Raises at "raise", hangs at "hang" where there is a reference, and knows which texts are equal; a digit is an answer."""

    config: Nothing

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        said = candidates[0].text
        if reference and said == "raise":
            raise ValueError("broken")
        if reference and said == "hang":
            await asyncio.sleep(60)
        return [self.judged(c, c.text == reference) for c in candidates]

    def judged(self, candidate: Candidate, same: bool) -> Verdict:
        digit = candidate.text if candidate.text.isdigit() else None
        return Verdict(candidate_id=candidate.id, status="correct" if same else "incorrect", score=0.5, key=digit)


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
        "common_answer": 1.0,
    }


def test_a_score_of_ones_own() -> None:
    assert measured("4", "five", whole=True)["accuracy"] == 0.5


def test_nothing_is_said_of_what_is_not_there() -> None:
    assert measured("fail") == {"accuracy": 0, "failed": 1, "unjudged": 0}
    assert measured("raise").keys() == {"failed", "unjudged", "tokens", "response_length"}


def test_an_answer_to_everything_is_seen() -> None:
    assert measured("4", "7", "7", "five", "fail", "7")["common_answer"] == 0.75  # of those that are an answer
    assert "common_answer" not in measured("five", "fail")
    assert common_answer(["4", None, "7", "4"]) == pytest.approx(2 / 3)
    assert common_answer([None]) is None is common_answer([])


def test_the_answer_is_what_the_first_verifier_found() -> None:
    verdicts = [Verdict(candidate_id="0", status="correct", key=key) for key in (None, "4", "7")]
    assert key_of(verdicts) == "4"
    assert key_of(verdicts[:1]) is None is key_of([])
