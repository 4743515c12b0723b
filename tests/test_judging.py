"""Which verifiers are asked about which candidates, and how their verdicts make a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from parts import Nothing, registry, runtime, solve

from k2core import (
    Candidate,
    ConfigError,
    DecodeRequest,
    DecoderName,
    Message,
    PipelineConfig,
    Plan,
    Plugin,
    PluginConfig,
    Problem,
    Run,
    Runtime,
    Verdict,
    VerifierName,
    hookimpl,
)
from k2core.testing import fake_decoder
from k2core.types import Status

NUMBERED = "decoder", fake_decoder(lambda request, index: request.candidates[index])
"""Candidate i says i."""


def says(listwise: bool = False, **statuses: tuple[Status, float]) -> tuple[str, type[Plugin]]:
    """A verifier with a fixed status and score for each text (`_0` for "0"), that remembers what it was asked."""

    class Says(Plugin):
        config: Nothing
        asked: ClassVar[list[list[str]]] = []

        @hookimpl
        async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
            self.asked.append([c.id for c in candidates])
            known = {name.removeprefix("_"): verdict for name, verdict in statuses.items()}
            found = [(c.id, *known.get(c.text, ("undecided", 0.0))) for c in candidates]
            return [Verdict(candidate_id=name, status=status, score=score) for name, status, score in found]

    Says.listwise = listwise
    return "verifier", Says


def three(verifiers: dict[str, Any], **plugins: tuple[str, type[Plugin]]) -> Any:
    return solve(runtime({"sampler": {"use": "samples", "n": 3}, "verifiers": verifiers}, fake=NUMBERED, **plugins))


def test_a_later_verifier_is_asked_only_about_what_is_undecided() -> None:
    cheap = says(_0=("incorrect", 0.0), _1=("undecided", 0.9), _2=("unparsed", 0.0))
    dear = says(listwise=True, _1=("undecided", 0.2), _2=("undecided", 0.6))
    result = three({"cheap": {}, "dear": {"when": "undecided"}}, cheap=cheap, dear=dear)
    assert dear[1].asked == [["1", "2"]]  # type: ignore[attr-defined] # of the class made by says()
    assert result.scores == {"0": 0.0, "1": 0.2, "2": 0.6}, "there the later score replaces the earlier one"
    assert result.answer == "2"


def test_a_later_verifier_is_left_in_peace_when_all_is_decided() -> None:
    cheap, dear = says(_0=("incorrect", 0.0), _1=("correct", 1.0), _2=("incorrect", 0.0)), says()
    assert three({"cheap": {}, "dear": {"when": "undecided"}}, cheap=cheap, dear=dear).answer == "1"
    assert dear[1].asked == []  # type: ignore[attr-defined] # of the class made by says()


@pytest.mark.parametrize(("below", "asked"), [(0.5, []), (0.7, [["0", "1", "2"]])])
def test_clear_votes_need_no_judge(below: float, asked: list[list[str]]) -> None:
    votes, judge = says(_1=("undecided", 0.6)), says(listwise=True)
    three({"votes": {}, "judge": {"when": "undecided", "below": below}}, votes=votes, judge=judge)
    assert judge[1].asked == asked  # type: ignore[attr-defined] # of the class made by says()


def test_under_a_reference_every_open_candidate_is_judged() -> None:
    cheap, dear = says(_4=("correct", 1.0)), says()
    made = runtime({"verifiers": {"cheap": {}, "dear": {"when": "undecided"}}}, cheap=cheap, dear=dear)

    async def main() -> None:
        async with made:
            await made.verify("2+2?", ["4", "5"], "4")

    asyncio.run(main())
    assert dear[1].asked == [["1"]]  # type: ignore[attr-defined] # of the class made by says()


def test_a_cascade_goes_on_in_the_order_of_the_configuration() -> None:
    first, second = says(_0=("correct", 0.9)), says(_1=("incorrect", 0.0))
    third = says(_2=("undecided", 0.4))
    config = {"first": {}, "second": {"when": "undecided"}, "third": {"when": "undecided"}}
    three(config, first=first, second=second, third=third)
    assert (second[1].asked, third[1].asked) == ([["1", "2"]], [["2"]])  # type: ignore[attr-defined] # of the classes made by says()


def test_a_later_verifier_that_fails_leaves_the_earlier_score() -> None:
    cheap, dear = says(_0=("undecided", 0.7)), says(_0=("error", 0.0), _1=("undecided", 0.5))
    assert three({"cheap": {}, "dear": {"when": "undecided"}}, cheap=cheap, dear=dear).scores["0"] == 0.7


def test_a_veto_outweighs_every_score() -> None:
    likes, guard = says(_0=("undecided", 1.0), _1=("undecided", 0.4)), says(_0=("incorrect", 0.0))
    result = three({"likes": {"weight": 100}, "guard": {"weight": 0, "veto": True}}, likes=likes, guard=guard)
    assert (result.answer, result.decision) == ("1", "candidate 1 has the highest score 0.40; vetoed: 0")


def test_a_veto_of_all_is_none() -> None:
    guard = says(**{f"_{i}": ("incorrect", 0.0) for i in range(3)})
    likes = says(_2=("undecided", 1.0))
    result = three({"likes": {}, "guard": {"veto": True, "weight": 0}}, likes=likes, guard=guard)
    assert (result.answer, result.decision) == ("2", "candidate 2 has the highest score 1.00; vetoed: 0, 1, 2")


class PicksConfig(PluginConfig):
    decoder: DecoderName = "solver"
    verifier: VerifierName = "judge"
    others: tuple[DecoderName, ...] = ()


class Picks(Plugin):
    """Two candidates; asks the verifier about the first alone and prefers the second."""

    config: PicksConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        request = DecodeRequest(messages=(Message(role="user", content=problem.text),), n=2, candidates=("0", "1"))
        made = [Candidate(id=str(i), text=c.text, completion=c) for i, c in enumerate(await run.decode(request))]
        if self.config.verifier:
            [verdict] = await run.verify(made[:1], only=self.config.verifier)
            assert verdict.verifier == self.config.verifier
        return [candidate.model_copy(update={"score": score}) for candidate, score in zip(made, (0.1, 0.9), strict=True)]


def picks(verifiers: dict[str, Any], plugins: dict[str, Any], **options: Any) -> Any:
    config = {"sampler": {"use": "picks", **options}, "verifiers": verifiers}
    return solve(runtime(config, fake=NUMBERED, picks=("sampler", Picks), **plugins))


def test_a_samplers_scores_stand_for_the_verifier_that_it_consults() -> None:
    judge, other = says(listwise=True, _0=("incorrect", 0.0)), says(_0=("undecided", 1.0), _1=("undecided", 1.0))
    result = picks({"judge": {}, "other": {}}, {"judge": judge, "other": other})
    assert judge[1].asked == [["0"]], "it is not asked again at the end"  # type: ignore[attr-defined] # of the class made by says()
    assert result.scores == {"0": pytest.approx(0.55), "1": pytest.approx(0.95)}
    mine = [(v.candidate_id, v.status, v.score, v.reason) for v in result.verdicts if v.verifier == "judge"]
    assert mine == [("0", "incorrect", 0.1, "scored by the sampler"), ("1", "undecided", 0.9, "scored by the sampler")]


def test_a_verifier_that_the_sampler_does_not_consult_is_asked_as_ever() -> None:
    judge = says(_0=("undecided", 1.0))
    assert picks({"judge": {}}, {"judge": judge}, verifier="").answer == "0"


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"verifier": "jugde"}, "sampler.verifier", "there is no verifier 'jugde'; [verifiers] has: judge"),
        ({"others": ["solver", "x"]}, "sampler.others.1", "there is no decoder 'x'; [decoders] has: solver"),
    ],
)
def test_names_of_other_tables_are_checked_before_anything_starts(options: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(ConfigError, match="there is no") as caught:
        picks({"judge": {}}, {"judge": says()}, **options)
    assert (caught.value.path, str(caught.value)) == (path, f"{path}: {message}")


def test_one_verifier_can_be_asked_by_name() -> None:
    one, other = says(), says()
    made = runtime({"verifiers": {"one": {}, "other": {"when": "undecided"}}}, one=one, other=other)

    async def main() -> list[str]:
        async with made, made.open("2+2?") as run:
            found = await run.verify([Candidate(id="0", text="4")], only="other")
            with pytest.raises(ConfigError, match="there is no verifier 'third'"):
                await run.verify([Candidate(id="0", text="4")], only="third")
        return [verdict.verifier for verdict in found]

    assert asyncio.run(main()) == ["other"]
    assert one[1].asked == []  # type: ignore[attr-defined] # of the class made by says()


def test_a_pipeline_of_verifiers_alone_judges_solutions_from_elsewhere() -> None:
    made = Runtime(PipelineConfig.from_dict({"verifiers": {"votes": {}}}), registry=registry())

    async def main() -> Any:
        async with made:
            verdicts = await made.verify("2+2?", ["4", Candidate(id="mine", text="5")], "4")
            with pytest.raises(ConfigError, match="neither decoders nor a sampler"):
                await made.solve("2+2?")
        return [(v.candidate_id, v.status) for v in verdicts]

    assert asyncio.run(main()) == [("0", "correct"), ("mine", "incorrect")]
