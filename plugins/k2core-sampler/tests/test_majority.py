"""The sampler `majority`: who votes, what a vote weighs, and how the result is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from k2core_sampler.voting import Vote, answer_tokens, certainty, mean_probability, scored, tally, weighted

from k2core import Candidate, Completion, ConfigError, Plugin, PluginConfig, PluginError, Verdict, hookimpl
from k2core.types import TokenLogprob

Hold = Any
"""What the fixture of this name is: see conftest.py."""


def votes(*replies: Any, **more: Any) -> dict[str, Any]:
    return {"replies": replies, **more}


def majority(**options: Any) -> dict[str, Any]:
    more = {name: options.pop(name) for name in ("limits", "hooks", "verifiers") if name in options}
    return {"sampler": {"use": "majority", "n": 5, **options}, **more}


def test_the_most_popular_answer_wins(hold: Hold) -> None:
    held = hold(votes("7", "4", "4", "9", "4"), majority())
    assert (held.result.answer, held.result.candidate.id) == ("4", "1")
    assert held.shares == pytest.approx({"0": 0.2, "1": 0.6, "2": 0.6, "3": 0.2, "4": 0.6})
    assert [c.answer for c in held.result.candidates] == ["7", "4", "4", "9", "4"]
    assert all("scored by the sampler" in verdict.reason for verdict in held.result.verdicts)


def test_equivalent_answers_vote_together(hold: Hold) -> None:
    held = hold(votes("3", "1/2", "0.5", "3", "\\frac{2}{4}"), majority())
    assert held.result.answer == "1/2"
    assert held.shares["2"] == pytest.approx(0.6)


def test_ties_go_to_the_first_candidate(hold: Hold) -> None:
    assert hold(votes("7", "4", "4", "7"), majority(n=4)).result.answer == "7"


def test_candidates_without_answer_and_failed_ones_do_not_vote(hold: Hold) -> None:
    held = hold(votes("", ConnectionError("reset"), "4", "7", "4"), majority())
    assert held.result.answer == "4"
    assert held.shares == pytest.approx({"0": 0.0, "2": 2 / 3, "3": 1 / 3, "4": 2 / 3})


def test_soft_deadline_counts_what_is_here(hold: Hold) -> None:
    held = hold(votes("7", "4", "4", None, None), majority(limits={"soft_deadline": 0.6}))
    assert held.result.answer == "4"
    assert held.usage.cancelled == 2


class Confident(Plugin):
    """Scores by the last digit of the answer."""

    config: PluginConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        return [Verdict(candidate_id=c.id, status="undecided", score=int(c.text[-2]) / 10) for c in candidates]


class Broken(Plugin):
    """Cannot judge."""

    config: PluginConfig

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        raise RuntimeError("out of order")


def test_votes_weighed_by_another_verifier(hold: Hold) -> None:
    table = majority(weight_by="verifier", weigher="sure", verifiers={"math": {}, "sure": {"use": "confident"}})
    held = hold(votes("1", "1", "9", "1", "2"), table, confident=("verifier", Confident))
    assert held.result.answer == "9"
    assert held.shares["2"] == pytest.approx(0.9 / 1.4)


def test_votes_count_alike_when_the_weigher_fails(hold: Hold) -> None:
    table = majority(weight_by="verifier", weigher="sure", verifiers={"math": {}, "sure": {"use": "broken"}})
    held = hold(votes("1", "1", "9", "1", "2"), table, broken=("verifier", Broken))
    assert held.result.answer == "1"
    assert any("votes count alike: verifier 'sure' could not judge them all" in warning for warning in held.result.warnings)


def test_votes_weighed_by_probability(hold: Hold) -> None:
    logprobs = {"0": math.log(0.1), "1": math.log(0.1), "2": math.log(0.9), "3": math.log(0.1), "4": math.log(0.2)}
    held = hold(votes("1", "1", "9", "1", "2", logprobs=logprobs), majority(weight_by="logprob"))
    assert held.result.answer == "9"
    assert held.shares["2"] == pytest.approx(0.9 / 1.4)
    assert {request.logprobs for request in held.back.requests} == {1}


def test_votes_count_alike_without_probabilities(hold: Hold) -> None:
    held = hold(votes("1", "1", "9", "1", "2"), majority(weight_by="certainty"))
    assert held.result.answer == "1"
    assert any("the decoder reported no log-probabilities" in warning for warning in held.result.warnings)
    assert {request.logprobs for request in held.back.requests} == {5}


def test_a_verifier_that_fails_leaves_the_choice_to_the_others(hold: Hold) -> None:
    table = majority(verifier="math", verifiers={"math": {"use": "broken"}, "sure": {"use": "confident"}})
    plugins = {"broken": ("verifier", Broken), "confident": ("verifier", Confident)}
    held = hold(votes("1", "1", "9", "1", "2"), table, **plugins)
    assert held.result.candidate.id == "2"
    assert set(held.shares.values()) == {None}


@pytest.mark.parametrize("wrong", [{"weight_by": "verifier"}, {"weigher": "math"}])
def test_weigher_and_its_switch_need_each_other(hold: Hold, wrong: dict[str, str]) -> None:
    with pytest.raises(PluginError, match="need each other"):
        hold(votes("1"), majority(**wrong))


@pytest.mark.parametrize("wrong", [{"verifier": "none"}, {"weigher": "none"}, {"weight_by": "luck"}, {"n": 0}])
def test_wrong_options_are_refused(hold: Hold, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"sampler\.{next(iter(wrong))}"):
        hold(votes("1"), majority(**wrong))


def ballot(*keys: str | None) -> list[Vote]:
    return [Vote(Candidate(id=str(i), text=str(key)), key, key) for i, key in enumerate(keys)]


def test_tally_and_scores() -> None:
    few = ballot("a", "b", None, "a")
    assert tally(few) == {"a": 2.0, "b": 1.0}
    assert [c.score for c in scored(few)] == pytest.approx([2 / 3, 1 / 3, 0.0, 2 / 3])
    assert [c.score for c in scored(ballot(None, None))] == [None, None]


def test_scores_of_votes_that_came_too_late_stay_below_the_winner() -> None:
    late = ballot("b", "a", "b")
    first, winner, _ = scored(late, late[:2], "a")
    assert first.score is not None
    assert winner.score is not None
    assert first.score < winner.score == 0.5


def test_a_weight_is_needed_by_those_that_vote_only() -> None:
    assert [vote.weight for vote in weighted(ballot("a", None), [0.5, None])] == [0.5, 0.0]
    with pytest.raises(ValueError, match="no weight"):
        weighted(ballot("a", "b"), [0.5, None])


def tokens(*logprobs: float) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(token="ab", logprob=value, top=(("ab", value), ("c", value - 1))) for value in logprobs)


def test_confidence_is_of_the_answer_s_tokens_without_the_reasoning() -> None:
    answer = Completion(text="abab", reasoning="abab", logprobs=tokens(-9, -9, -1, -3))
    assert len(answer_tokens(answer)) == 2
    assert mean_probability(answer) == pytest.approx(math.exp(-2))
    assert certainty(answer) == pytest.approx((1.5 + 3.5) / 2)
    assert mean_probability(Completion(text="abab")) is certainty(Completion(text="abab")) is None
