"""The learnt rule: its probabilities are those of the model, and what it states is what happens, on average."""

from __future__ import annotations

import itertools
import json
import math
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from k2core_sampler.learnt import EXACT, KINDS, REMEMBERED, Kind, LearntRule, Prior, log_partition, overtaken, posterior
from k2core_sampler.stopping import Said, Standing, leading, standing


def continuations(kind: Kind, counts: tuple[int, ...], left: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """All ways in which the votes may go on, with their probabilities: the urn, drawn step by step."""
    if not left:
        yield counts, 1.0
        return
    discount, concentration = kind
    total = sum(counts) + concentration
    steps = [((*counts[:i], size + 1, *counts[i + 1 :]), (size - discount) / total) for i, size in enumerate(counts)]
    new = (concentration + discount * len(counts)) / total
    for following, chance in [*steps, ((*counts, 1), new)]:
        if chance > 1e-12:
            for final, more in continuations(kind, following, left - 1):
                yield final, chance * more


@pytest.mark.parametrize("kind", KINDS[::3])
def test_risk_is_that_of_the_urn(kind: Kind) -> None:
    for now in (Standing(2, (1,), 3), Standing(1, (), 4), Standing(2, (1, 1), 3, wins_ties=False)):
        counts, behind = (now.lead, *now.others), 1 if now.wins_ties else 0
        if log_partition(kind, counts) > -math.inf:  # else the kind has fewer answers
            wanted = sum(p for final, p in continuations(kind, counts, now.left) if max(final[1:], default=0) >= final[0] + behind)
            assert overtaken(kind, now) == pytest.approx(wanted)


@pytest.mark.parametrize("kind", KINDS[::4])
def test_probability_of_a_partition_is_that_of_the_urn(kind: Kind) -> None:
    """Of the urn's sequences with these class sizes in order of appearance: their number times the probability of each."""
    for sizes in [(3,), (2, 1), (1, 1, 1), (2, 2)]:
        first = [p for final, p in continuations(kind, (1,), sum(sizes) - 1) if final == sizes]
        ways = len(first)
        if ways:
            assert sum(first) == pytest.approx(ways * math.exp(log_partition(kind, sizes)))


@pytest.mark.parametrize("kind", KINDS)
def test_bound_for_many_votes_is_above_the_exact_risk(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [Standing(3, (1,), 8), Standing(2, (), 6), Standing(1, (), EXACT)]
    if log_partition(kind, (4, 2, 1)) > -math.inf:
        cases.append(Standing(4, (2, 1), 5, wins_ties=False))
    exact = [overtaken(kind, case) for case in cases]
    monkeypatch.setattr("k2core_sampler.learnt.EXACT", 0)
    for case, risk in zip(cases, exact, strict=True):
        assert overtaken(kind, case) >= risk - 1e-9


def test_agreement_teaches_to_stop_sooner_and_disagreement_not_to() -> None:
    def stated(counts: Sequence[int]) -> float:
        prior = Prior()
        for _ in range(60):
            prior.learn(counts)
        return LearntRule(0.95, prior.weights()).stated(Standing(1, (), 7))

    assert stated((8,)) > 0.95
    assert stated((4, 4)) < 0.8  # the leader wins a tie
    assert stated((2, 1, 1, 1, 1, 1, 1)) < 0.7


def test_prior_forgets_the_oldest() -> None:
    prior = Prior()
    for _ in range(REMEMBERED):
        prior.learn((8,))
    before = LearntRule(0.95, prior.weights()).stated(Standing(1, (), 7))
    for _ in range(REMEMBERED):
        prior.learn((4, 4))
    assert prior.problems == REMEMBERED
    assert LearntRule(0.95, prior.weights()).stated(Standing(1, (), 7)) < before - 0.15


def test_prior_goes_through_json_unchanged() -> None:
    prior = Prior()
    for counts in [(3,), (2, 1), (8,), (4, 4)] * 5:
        prior.learn(counts)
    again = Prior(json.loads(json.dumps([list(weight) for weight in prior.weights()])))
    now = Standing(2, (1,), 5)
    assert LearntRule(0.9, again.weights()).stated(now) == pytest.approx(LearntRule(0.9, prior.weights()).stated(now))
    assert sum(weight.share for weight in again.weights()) == pytest.approx(1)


def test_seen_problems_make_the_same_prior_again() -> None:
    prior = Prior()
    for counts in [(8,), (3,), (2, 1, 1)] * 30:
        prior.learn(counts)
    again = Prior()
    again.recall(prior.seen())
    now = Standing(2, (), 6)
    assert again.problems == prior.problems
    assert LearntRule(0.9, again.weights()).stated(now) == pytest.approx(LearntRule(0.9, prior.weights()).stated(now), abs=0.02)


def test_prior_learns_from_many_threads() -> None:
    prior = Prior()
    threads = [threading.Thread(target=lambda: [prior.learn((3, 1)) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert prior.problems == 200
    assert sum(weight.share for weight in prior.weights()) == pytest.approx(1)


def test_impossible_counts_leave_the_shares() -> None:
    assert posterior([(-1.0, 2.0)], [1.0], (1, 1, 1)) == [1.0]


@pytest.mark.parametrize(("easy", "answers"), [(0.9, 5), (0.6, 2), (0.3, 20)])
def test_what_is_stated_happens_on_average(easy: float, answers: int) -> None:
    """Problems with a popular answer of differing popularity: the realised error is no more than stated, but for chance."""
    draw = random.Random(7)
    prior, stated, wrong, problems = Prior(), 0.0, 0, 600
    for place in range(problems):
        popularity = draw.betavariate(2 * easy, 2 * (1 - easy))
        votes = ["right" if draw.random() < popularity else f"wrong {draw.randrange(answers)}" for _ in range(8)]
        rule = LearntRule(0.95 if place >= 20 else 1 - 1e-9, prior.weights())
        counted: dict[int, Said] = {}
        for number, vote in enumerate(votes):
            counted[number] = Said(vote)
            confidence = rule.confidence(standing(counted, 8))
            if confidence is not None:
                break
        first, last = leading(counted), leading({number: Said(vote) for number, vote in enumerate(votes)})
        assert first is not None
        assert last is not None
        stated += 1 - (confidence if confidence is not None else 1.0)
        wrong += votes[first] != votes[last]
        prior.learn(Counter(said.key for said in counted.values()).values())
    slack = 2.6 * math.sqrt(max(stated, 1.0))
    assert wrong <= stated + slack
    assert list(itertools.islice(prior.seen(), 1))
