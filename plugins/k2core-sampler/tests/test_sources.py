"""Sources of votes: their reliability is found from agreement alone, and the rule that heeds it states what happens."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from k2core_sampler.sources import ENOUGH, Known, Source, Sources, SourcesRule, right_answers, weight_of
from k2core_sampler.stopping import Said, Standing, leading, standing

RELIABLE = {"small": 0.3, "plain": 0.6, "large": 0.85}


def voted(draw: random.Random, reliability: Mapping[str, float], wrong: int, n: int) -> list[tuple[str, str]]:
    names = draw.choices(list(reliability), k=n)
    return [(name, "right" if draw.random() < reliability[name] else f"wrong {draw.randrange(wrong)}") for name in names]


@pytest.mark.parametrize("wrong", [3, 10])
def test_reliability_is_found_without_labels(wrong: int) -> None:
    draw, sources = random.Random(3), Sources()
    for _ in range(400):
        sources.learn(voted(draw, RELIABLE, wrong, 6))
    found = sources.known()
    assert {source.name: source.reliability for source in found.sources} == pytest.approx(RELIABLE, abs=0.08)
    assert found.answers == pytest.approx(wrong, rel=0.4)
    assert sum(source.share for source in found.sources) == pytest.approx(1, abs=0.02)


def test_two_sources_are_not_told_apart() -> None:
    draw, sources = random.Random(3), Sources()
    for _ in range(100):
        sources.learn(voted(draw, {"a": 0.9, "b": 0.2}, 10, 6))
    assert sources.known().sources == ()


def test_sources_are_known_only_after_enough_votes() -> None:
    sources = Sources()
    for _ in range(ENOUGH - 1):
        sources.learn([("a", "1"), ("b", "1"), ("c", "2")])
    assert not sources.known().sources
    sources.learn([("a", "1"), ("b", "1"), ("c", "2")])
    assert [source.name for source in sources.known().sources] == ["a", "b", "c"]


def test_right_answer_by_bayes() -> None:
    """Two votes of 0.6 against one of 0.9, three wrong answers: odds against any one answer are 4.5 * 4.5 to 27."""
    found = right_answers([(0.6, 0), (0.6, 0), (0.9, 1)], 3)
    assert found[1] / found[0] == pytest.approx(27 / (4.5 * 4.5))
    assert sum(found.values()) == pytest.approx((27 + 4.5 * 4.5) / (27 + 4.5 * 4.5 + 2))
    assert weight_of(0.01, 3) > 0


def test_a_reliable_voice_outweighs_two_poor_ones_and_ends_the_poll_sooner() -> None:
    known = Known((Source("poor", 0.3, 0.5), Source("good", 0.95, 0.5)), 10)
    rule = SourcesRule(0.9, known)
    votes = {0: Said("a", "poor", rule.weight("poor")), 1: Said("b", "good", rule.weight("good"))}
    assert leading(votes) == 1
    good, poor = ({n: Said("a", name, rule.weight(name)) for n in range(2)} for name in ("good", "poor"))
    assert rule.stated(standing(good, 6)) > rule.stated(standing(poor, 6))
    assert rule.weight("unheard of") == pytest.approx(weight_of(0.625, 10))
    assert rule.stated(Standing(0, (), 6)) == 0
    assert rule.stated(standing(good, 2)) == 1


@pytest.mark.parametrize("wrong", [3, 10])
def test_what_is_stated_is_no_less_than_what_happens(wrong: int) -> None:
    draw, sources, stated, changed = random.Random(5), Sources(), 0.0, 0
    for place in range(400):
        voices = voted(draw, RELIABLE, wrong, 6)
        known = sources.known()
        rule = SourcesRule(0.8 if place >= 30 else 1 - 1e-9, known) if known.sources else None
        votes = [Said(key, source, rule.weight(source) if rule else 1.0) for source, key in voices]
        count, risk = 6, 0.0
        for count in range(1, 7):
            confidence = rule.confidence(standing(dict(enumerate(votes[:count])), 6)) if rule else None
            if confidence is not None:
                risk = 1 - confidence
                break
        first, last = leading(dict(enumerate(votes[:count]))), leading(dict(enumerate(votes)))
        assert first is not None
        assert last is not None
        changed, stated = changed + (votes[first].key != votes[last].key), stated + risk
        sources.learn(voices[:count])
    assert changed <= stated + 2.6 * max(1.0, stated) ** 0.5


def test_adaptive_weighs_models_by_what_they_proved(hold: Any) -> None:
    """Candidates of one poor and two good models by turns; a good pair beats three poor voices that agree by chance."""
    known = [["poor", 0.3, 0.5], ["good", 0.95, 0.25], ["fine", 0.95, 0.25]]
    sampler = {"use": "adaptive", "rule": "sources", "sources": known, "warm_up": 0, "audit": 0.0, "n": 5, "first": 5}
    models = ["poor", "poor", "poor", "good", "fine"]
    held = hold({"replies": ["1", "1", "1", "2", "2"], "models": models}, {"sampler": sampler})
    assert held.result.answer == "2"
    assert held.stop.rule == "sources"
    plain = hold({"replies": ["1", "1", "1", "2", "2"], "models": models}, {"sampler": {"use": "majority", "n": 5}})
    assert plain.result.answer == "1"
