"""Error rate and power of the permutation tests, on cheap rows."""

from __future__ import annotations

import numpy as np
import pytest
from k2core_certify import greedy, judging, twosample
from k2core_certify.asking import Sample
from k2core_certify.judging import Reading
from k2core_certify.prompts import CLOSED
from k2core_certify.scoring import Scores
from k2core_certify.tokens import Tokens

from k2core import Completion

STRATA = ["a"] * 30 + ["b"] * 30


def test_equal_decoders_are_seldom_told_apart() -> None:
    """Of 200 at 5 %, ten are expected; 22 or more have a probability of 0.05 %."""
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows = rng.standard_exponential((120, 3)) * np.array(
            [[1.0] * 3] * 30 + [[5.0] * 3] * 30 + [[1.0] * 3] * 30 + [[5.0] * 3] * 30
        )
        wrong += _shuffle(rng).test("rows", rows, 60, "w").p <= 0.05
    assert wrong < 22


def _shuffle(rng: np.random.Generator) -> twosample.Shuffle:
    return twosample.Shuffle(STRATA, STRATA, rng)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twosample, "PERMUTATIONS", 999)


def test_a_difference_is_found() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((120, 1))
    rows[:60] += 1.5
    found = _shuffle(rng).test("rows", rows, 60, "nats")
    assert found.p <= 0.002
    assert found.bias == pytest.approx(1.5, abs=0.5)


def test_cells_are_compared_within_their_prompts() -> None:
    rng = np.random.default_rng(0)
    words = ["x" if s == "a" else "y" for s in STRATA]
    same = twosample.categorical("words", words, words, _shuffle(rng))
    other = twosample.categorical("words", words, ["z"] * 60, _shuffle(rng))
    assert same is not None
    assert other is not None
    assert same.p == 1
    assert other.p <= 0.002


def test_the_bound_on_differing_tokens() -> None:
    parted, alike, bound = twosample.most_differing([("abcd", "abcd")] * 25)
    assert (parted, alike) == (0, 100)
    assert bound == pytest.approx(0.03, abs=0.001)
    assert twosample.most_differing([("abcd", "abxd")])[:2] == (1, 2)


def _scores(gaps: list[float]) -> Scores:
    zero = np.zeros(len(gaps))
    return Scores(zero, zero, zero, zero, zero, np.array(gaps), zero, zero, zero, zero)


def test_greedy_excuses_ties_only() -> None:
    ties = greedy.against_target([Tokens((1, 2, 3))], [_scores([0.0, 0.01, 0.0])], 0.02)
    wrong = greedy.against_target([Tokens((1, 2, 3))], [_scores([0.0, 0.5, 0.0])], 0.02)
    own = greedy.against_target([Tokens((1,), own_top=(True,))], [_scores([0.5])], 0.02)
    assert (ties.wrong, ties.excused) == (0, 1)
    assert wrong.wrong == 1
    assert (own.wrong, own.precision) == (0, 1)


def test_greedy_answers_may_part_at_a_tie_only() -> None:
    pair = [((1, 2, 3), (1, 9, 9))]
    tie = greedy.against_other(pair, [([0.0, 0.01, 0.0], [0.0, 0.0, 0.0])], 0.02)
    wrong = greedy.against_other(pair, [([0.0, 0.9, 0.0], [0.0, 0.0, 0.0])], 0.02)
    unknown = greedy.against_other(pair, [None], 0.02)
    assert (tie.wrong, tie.excused) == (0, 1)
    assert wrong.wrong == 1
    assert (unknown.wrong, unknown.precision) == (0, 1)


@pytest.mark.parametrize(("ones", "told"), [(40, False), (110, True)])
def test_answers_out_of_a_closed_vocabulary_are_compared_without_a_target(ones: int, told: bool) -> None:
    """Of 240 throws of a die about 40 are ones; others than digits, and a space before, make no difference."""

    def reading(texts: list[str]) -> Reading:
        return Reading([Sample(CLOSED, False, Completion(text=text, tokens=2, finish="stop"), 9, 16) for text in texts])

    fair = [str(1 + i % 6) for i in range(240)]
    mine = ["1"] * ones + [f" {2 + i % 5}." for i in range(240 - ones)] + ["Sure"] * 30
    found = judging._closed(reading(mine), reading([*fair, "no"]), np.random.default_rng(1))
    assert found is not None
    assert (found.p <= 0.01) == told
    assert judging._closed(reading(["Sure"]), reading(fair), np.random.default_rng(1)) is None
