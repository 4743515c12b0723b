"""Several judges, what a run remembers, and what a tournament needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from k2core_verifier_judge.pairwise import Judge
from k2core_verifier_judge.panel import Opinion, disagree
from k2core_verifier_judge.rating import Rating

from k2core import Candidate, ConfigError, DecodeRequest, PipelineConfig, Problem, Registry, Runtime, Verdict
from k2core.testing import FakeSampler, fake_decoder

Respond = Callable[[DecodeRequest, int], str | Exception]


def better(name: str) -> str:
    return json.dumps({"better": name, "reason": "because"})


def likes(text: str) -> Respond:
    """A judge that prefers the candidate with this text, wherever it stands."""

    def respond(request: DecodeRequest, index: int) -> str:
        first = request.messages[-1].content.split("<<<CANDIDATE B")[0]
        return better("A" if text in first else "B")

    return respond


class Bench:
    """A pipeline with several judges; every turn is one call of `run.verify` in the same run."""

    def __init__(self, judges: dict[str, Respond], plugin: type[Any] = Judge, **options: Any) -> None:
        self.requests: list[DecodeRequest] = []
        self.registry = Registry()
        for name, respond in judges.items():
            self.registry.add("decoder", name, fake_decoder(self._recorded(respond)))
        self.registry.add("sampler", "fake", FakeSampler)
        self.registry.add("verifier", "judge", plugin)
        tables = {
            "sampler": {"use": "fake", "decoder": next(iter(judges))},
            "decoders": {name: {"use": name} for name in judges},
            "verifiers": {"judge": {"decoder": list(judges), **options}},
            "retry": {"attempts": 1},
        }
        self.config = PipelineConfig.from_dict(tables)

    def _recorded(self, respond: Respond) -> Respond:
        def recorded(request: DecodeRequest, index: int) -> str | Exception:
            self.requests.append(request)
            return respond(request, index)

        return recorded

    def turns(self, *turns: Sequence[str]) -> list[Sequence[Verdict]]:
        async def main() -> list[Sequence[Verdict]]:
            async with Runtime(self.config, registry=self.registry) as runtime, runtime.open(Problem(prompt="?"), seed=1) as run:
                made = []
                for turn, texts in enumerate(turns):
                    candidates = [Candidate(id=f"{turn}.{n}", text=text) for n, text in enumerate(texts)]
                    made.append(await run.verify(candidates, only="judge"))
                self.warnings = [str(one) for one in run.warnings]
                return made

        return asyncio.run(main())


def scores(verdicts: Sequence[Verdict]) -> list[float]:
    return [round(verdict.score, 3) for verdict in verdicts]


def test_the_majority_decides() -> None:
    bench = Bench({"a": likes("good"), "b": likes("good"), "c": likes("bad")})
    verdicts = bench.turns(["good", "bad"])[0]
    assert scores(verdicts) == [1, 0]
    assert len(bench.requests) == 6
    assert "1 of 1 divided the judges" in verdicts[0].reason


def test_two_judges_who_differ_tie_and_a_mean_shares_the_point() -> None:
    assert scores(Bench({"a": likes("good"), "b": likes("bad")}).turns(["good", "bad"])[0]) == [0.5, 0.5]
    mean = Bench({"a": likes("good"), "b": likes("good"), "c": likes("bad")}, panel="mean")
    assert scores(mean.turns(["good", "bad"])[0]) == [0.667, 0.333]


def test_a_judge_that_fails_does_not_decide() -> None:
    bench = Bench({"a": likes("good"), "b": lambda request, index: RuntimeError("boom"), "c": lambda request, index: "hm"})
    assert scores(bench.turns(["good", "bad"])[0]) == [1, 0]
    assert any("judge b failed" in warning for warning in bench.warnings)


def test_rating_takes_the_mean_of_those_who_answer() -> None:
    bench = Bench({"a": lambda r, i: "8", "b": lambda r, i: "5", "c": lambda r, i: ConnectionError("refused")}, Rating)
    verdict = bench.turns(["x"])[0][0]
    assert verdict.score == pytest.approx(0.65)
    assert verdict.reason == "rated 8 and 5 of 10; 1 of 3 judges gave no rating"


def test_a_judge_must_be_there_and_be_named_once() -> None:
    with pytest.raises(ConfigError, match="nobody"):
        Runtime(Bench({"a": likes("x")}, decoder=["a", "nobody"]).config, registry=Bench({"a": likes("x")}).registry)
    for wrong in ([], ["a", "a"], [""]):
        bench = Bench({"a": likes("x")}, decoder=wrong)
        with pytest.raises(ConfigError, match=r"verifiers\.judge\.decoder"):
            Runtime(bench.config, registry=bench.registry)


def test_what_was_compared_is_not_asked_again_in_a_run() -> None:
    """A tournament asks about two at a time, in either order, and then the kernel asks about all."""
    bench = Bench({"a": likes("best")})
    made = bench.turns(["best", "x"], ["x", "best"], ["best", "y"], ["best", "x", "y"])
    assert [scores(verdicts) for verdicts in made] == [[1, 0], [0, 1], [1, 0], [1, 0.25, 0.25]]
    assert len(bench.requests) == 6
    assert len({request.messages[-1].content for request in bench.requests}) == 6


def test_a_pair_ties_at_one_half_and_equal_texts_cost_nothing() -> None:
    bench = Bench({"a": lambda request, index: better("A")})
    assert scores(bench.turns(["1", "2"])[0]) == [0.5, 0.5]
    same = Bench({"a": likes("x")})
    assert scores(same.turns(["7", " 7\n"])[0]) == [0.5, 0.5]
    assert not same.requests


def test_a_failed_comparison_is_tried_again() -> None:
    replies = iter([RuntimeError("boom"), RuntimeError("boom"), better("A"), better("B")])
    bench = Bench({"a": lambda request, index: next(replies)})
    first, second = bench.turns(["1", "2"], ["1", "2"])
    assert {verdict.status for verdict in first} == {"error"}
    assert scores(second) == [1, 0]


def test_at_the_same_time_is_asked_once() -> None:
    bench = Bench({"a": likes("best")})

    async def main() -> None:
        async with Runtime(bench.config, registry=bench.registry) as runtime, runtime.open(Problem(prompt="?"), seed=1) as run:
            pairs = [[Candidate(id=f"{n}{text}", text=text) for text in ("best", "x")] for n in range(5)]
            await asyncio.gather(*(run.verify(pair, only="judge") for pair in pairs))

    asyncio.run(main())
    assert len(bench.requests) == 2


def test_who_is_cancelled_leaves_the_others_to_ask() -> None:
    bench = Bench({"a": likes("best")})

    async def main() -> list[float]:
        async with Runtime(bench.config, registry=bench.registry) as runtime, runtime.open(Problem(prompt="?"), seed=1) as run:
            pairs = [[Candidate(id=f"{n}{text}", text=text) for text in ("best", "x")] for n in range(2)]
            first, second = (asyncio.create_task(run.verify(pair, only="judge")) for pair in pairs)
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return scores(await second)

    assert asyncio.run(main()) == [1, 0]


@pytest.mark.parametrize(
    ("replies", "outcome", "result", "leaning"),
    [
        (("A", "B"), "agree", 1, 1),
        (("B", "A"), "agree", -1, -1),
        (("A", "A"), "flip", 0, 0),
        (("A", "tie"), "lean", 0, 1),
        (("tie", "A"), "lean", 0, -1),
        (("tie", "tie"), "tie", 0, 0),
        (("A", None), "void", 0, 0),
        (("A",), "first", 1, 1),
        (("B",), "second", -1, -1),
        (("tie",), "tie", 0, 0),
        ((None,), "void", 0, 0),
    ],
)
def test_opinions(replies: Any, outcome: str, result: int, leaning: int) -> None:
    opinion = Opinion("a", replies)
    assert (opinion.outcome, opinion.result, opinion.leaning) == (outcome, result, leaning)


def test_disagreement_needs_two_who_name_different_texts() -> None:
    yes, no, tie = Opinion("a", ("A", "B")), Opinion("b", ("B", "A")), Opinion("c", ("tie", "tie"))
    assert disagree([yes, no])
    assert not disagree([yes, tie])
