"""The pure functions, against brute force, tables and known answers."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from k2core_eval.statistics.drawing import EXACT, SILENT, pass_at, vote_curve
from k2core_eval.statistics.intervals import (
    ADJUSTED,
    BCA,
    MOVER,
    WILSON,
    difference_interval,
    mean_interval,
    resampled,
    student,
    weighted_interval,
    wilson,
)
from k2core_eval.statistics.k2think import PROBLEMS, TABLE
from k2core_eval.statistics.significance import detectable, holm, mcnemar, paired_test
from k2core_eval.statistics.summary import averaged


def test_pass_at_k_is_the_share_of_subsets_that_hold_a_right_sample() -> None:
    for n, c in product(range(1, 8), range(8)):
        for k in range(1, n + 1):
            if c <= n:
                wanted = 1 - comb(n - c, k) / comb(n, k)
                assert pass_at(np.array([n]), np.array([c]), k)[0] == pytest.approx(wanted, abs=1e-12)


def test_pass_at_k_refuses_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="needs 5 samples"):
        pass_at(np.array([8, 4]), np.array([1, 1]), 5)


def by_hand(keys: list[int], right: list[bool], k: int) -> float:
    """All subsets; ties share."""
    worth = {key: np.mean([r for other, r in zip(keys, right, strict=True) if other == key]) for key in keys}
    won = []
    for subset in combinations(range(len(keys)), k):
        votes = [keys[i] for i in subset if keys[i] != SILENT]
        most = max((votes.count(key) for key in votes), default=0)
        best = {key for key in votes if votes.count(key) == most}
        won.append(np.mean([worth[key] for key in best]) if best else 0.0)
    return float(np.mean(won))


@pytest.mark.parametrize("seed", range(12))
def test_votes_are_those_of_all_subsets(seed: int) -> None:
    luck = np.random.default_rng(seed)
    keys = [int(key) for key in luck.choice([SILENT, 1, 2, 3, 4], 9, p=[0.1, 0.4, 0.2, 0.2, 0.1])]
    right = [key == 1 or (key == 4 and bool(luck.integers(2))) for key in keys]
    curve = vote_curve(keys, right)
    assert curve.accuracy == pytest.approx([by_hand(keys, right, k) for k in range(1, 10)], abs=1e-12)
    assert not curve.error.any()


def test_a_vote_of_one_is_the_accuracy_and_answers_that_differ_never_gain() -> None:
    keys, right = [1, 1, 2, SILENT, 3], [True, True, False, False, False]
    assert vote_curve(keys, right).accuracy[0] == pytest.approx(0.4)
    unlike = vote_curve([-1, -2, -3, -4], [True, False, True, False])
    assert unlike.accuracy == pytest.approx([0.5] * 4)


def test_a_vote_without_any_voice_is_wrong() -> None:
    assert not vote_curve([SILENT] * 3, [False] * 3).accuracy.any()


def test_many_votes_are_drawn_and_say_how_exactly() -> None:
    keys = [1] * 30 + [2] * 20 + [3] * 14
    right = [key == 1 for key in keys]
    exact = vote_curve(keys, right)
    drawn = vote_curve([*keys, SILENT], [*right, False])
    assert len(keys) == EXACT
    assert drawn.error[4] > 0
    assert abs(drawn.accuracy[9] - exact.accuracy[9]) < 5 * drawn.error[9] + 0.02


def test_all_right_is_no_certainty() -> None:
    found = mean_interval(np.ones(30))
    assert (found.value, found.high, found.method) == (1.0, 1.0, WILSON)
    assert found.low == pytest.approx(0.8865, abs=1e-4)
    none = mean_interval(np.zeros(30))
    assert (none.low, none.high) == (0.0, pytest.approx(1 - 0.8865, abs=1e-4))


def test_one_problem_or_none() -> None:
    one = mean_interval(np.array([1.0]))
    assert one.low == pytest.approx(0.2065, abs=1e-3)
    assert mean_interval(np.array([])).value is None
    assert difference_interval(np.array([])).value is None
    assert weighted_interval([], []).value is None


def test_repeats_do_not_make_problems() -> None:
    """The same problem means have the same interval, whether they are from 4 repeats or 400."""
    luck = np.random.default_rng(0)
    few, many = luck.binomial(4, 0.5, 40) / 4, np.repeat(0.5, 40)
    assert mean_interval(few).method == BCA
    assert (mean_interval(few).high or 0) - (mean_interval(few).low or 0) > 0.1
    assert (mean_interval(many).high or 0) - (mean_interval(many).low or 0) >= 0


def test_no_interval_has_no_width() -> None:
    for values in (np.full(30, 0.5), np.ones(5), np.zeros(500), np.array([0.5] * 29 + [0.50001])):
        found = mean_interval(values)
        assert (found.high or 0.0) > (found.low or 0.0)


def test_differences_that_are_all_alike_have_an_interval() -> None:
    same = difference_interval(np.zeros(30))
    assert same.method == ADJUSTED
    assert (same.low or 0) < 0 < (same.high or 0)
    ahead = difference_interval(np.ones(30))
    assert 0.7 < (ahead.low or 0) < 1
    assert ahead.high == 1.0


def test_wilson_as_published() -> None:
    """Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    table = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (hits, of), wanted in table.items():
        assert wilson(hits / of, of) == pytest.approx(wanted, abs=6e-5)


def test_student_as_tabulated() -> None:
    for freedom, wanted in {4: 2.776, 9: 2.262, 29: 2.045, 172: 1.974}.items():
        assert student(0.975, freedom) == pytest.approx(wanted, abs=2e-3)


def test_the_bootstrap_is_near_the_normal_interval_where_that_holds() -> None:
    values = np.random.default_rng(3).beta(2, 2, 400)
    found = mean_interval(values)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.003)
    assert found.high == pytest.approx(values.mean() + half, abs=0.003)
    assert found == mean_interval(values)


def test_resampling_holds_a_bounded_number_of_indices() -> None:
    means = resampled(np.arange(100_000) / 1e5, 25, np.random.default_rng(0))
    assert means.shape == (25,)
    assert means.mean() == pytest.approx(0.5, abs=0.01)


def test_a_mean_of_one_task_is_that_task() -> None:
    values = np.random.default_rng(0).random(50)
    assert weighted_interval([values], [1.0]) == mean_interval(values)


def test_a_task_without_spread_still_widens_the_mean() -> None:
    spread = np.random.default_rng(0).random(30)
    found = weighted_interval([spread, np.ones(30)], [0.5, 0.5])
    assert found.method == MOVER
    alone = mean_interval(spread)
    assert (found.value or 0) - (found.low or 0) > ((alone.value or 0) - (alone.low or 0)) / 2


def test_the_stratified_bootstrap_adds_variances() -> None:
    luck = np.random.default_rng(1)
    strata = [luck.random(200), luck.random(50)]
    found = weighted_interval(strata, [0.25, 0.75])
    error = np.sqrt(sum((w**2) * v.var() / len(v) for w, v in zip((0.25, 0.75), strata, strict=True)))
    assert (found.high or 0) - (found.low or 0) == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_mcnemar_is_the_binomial_test() -> None:
    assert mcnemar(10, 2) == pytest.approx(0.03857, abs=1e-5)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    assert mcnemar(6, 0) == pytest.approx(2 / 64)
    assert 0 < mcnemar(900, 700) < 1e-6


def test_one_repeat_is_tested_by_mcnemar() -> None:
    found = paired_test(np.array([1.0] * 10 + [-1.0] * 2 + [0.0] * 88))
    assert (found.p, found.method) == (pytest.approx(mcnemar(10, 2)), "McNemar, exact")


def test_sign_flips_are_all_tried_or_drawn_to_the_same_end() -> None:
    luck = np.random.default_rng(5)
    values = luck.normal(0.4, 1, 12)
    sums = [abs(float(np.dot(signs, np.abs(values)))) for signs in product((-1, 1), repeat=12)]
    exact = float(np.mean(np.array(sums) >= abs(values.sum()) - 1e-9))
    assert paired_test(values).p == pytest.approx(exact)
    more = np.concatenate([values, luck.normal(0, 1e-6, 10)])
    drawn = paired_test(more)
    assert drawn.method.startswith("sign flips, 20,000")
    assert drawn.p == pytest.approx(exact, abs=0.02)
    assert drawn == paired_test(more)


def test_nothing_differs() -> None:
    assert paired_test(np.zeros(30)).p == paired_test(np.array([])).p == 1.0


def test_holm_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.9]) == [1.0, 1.0]


def test_what_could_be_seen_shrinks_with_the_root_of_the_problems() -> None:
    luck = np.random.default_rng(0)
    small, large = (detectable(difference_interval(luck.normal(0, 0.3, n))) or 0.0 for n in (30, 3000))
    assert small == pytest.approx(2.95 * 0.3 / 30**0.5, rel=0.3)
    assert large == pytest.approx(small / 10, rel=0.35)
    assert (detectable(difference_interval(np.zeros(30))) or 0.0) > 0.05
    assert detectable(difference_interval(np.array([]))) is None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_the_published_averages_come_out_to_the_digit(row) -> None:  # type: ignore[no-untyped-def] # a parameter
    """Through the function that averages our own tasks: every problem of a benchmark is given the benchmark's mean."""
    tasks = {name: np.full(n, score / 100) for (name, n), score in zip(PROBLEMS.items(), row.scores, strict=True)}
    micro = averaged(tasks, {name: float(n) for name, n in PROBLEMS.items()}, "micro")
    macro = averaged(tasks, dict.fromkeys(PROBLEMS, 1.0), "macro")
    assert micro.weights["Omni-HARD"] == pytest.approx(173 / 263)
    assert [printed(average.accuracy.value) for average in (micro, macro)] == [f"{row.micro:.2f}", f"{row.macro:.2f}"]


def printed(value: float | None) -> str:
    """In percent with two digits, half up, as people round."""
    assert value is not None
    return str(Decimal(repr(round(100 * value, 9))).quantize(Decimal("0.01"), ROUND_HALF_UP))
