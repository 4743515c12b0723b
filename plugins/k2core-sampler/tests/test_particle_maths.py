"""Weights and resampling: pure functions, tried on anything."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_sampler.particle import effective_size, softmax, systematic

weights = st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda w: sum(w) > 1e-6).map(lambda w: [x / sum(w) for x in w])
lots = st.floats(0, 1, exclude_max=True)


@given(weights, st.integers(1, 50), lots)
def test_systematic_resampling_is_within_one_of_its_mean(w: list[float], count: int, lot: float) -> None:
    chosen = systematic(w, count, lot)
    assert len(chosen) == count
    assert chosen == sorted(chosen)
    times = Counter(chosen)
    for index, weight in enumerate(w):
        assert count * weight - 1 - 1e-9 < times[index] < count * weight + 1 + 1e-9


@settings(max_examples=40, deadline=None)
@given(weights, st.integers(1, 8))
def test_systematic_resampling_is_unbiased(w: list[float], count: int) -> None:
    """Averaged over evenly spread lots, every index comes `count * weight` times."""
    lots = 400
    times = Counter(index for k in range(lots) for index in systematic(w, count, (k + 0.5) / lots))
    for index, weight in enumerate(w):
        assert times[index] / lots == pytest.approx(count * weight, abs=0.02 * count)


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=20), st.floats(0.001, 10))
def test_weights_add_up_and_follow_the_scores(scores: list[float | None], temperature: float) -> None:
    w = softmax(scores, temperature)
    assert math.isclose(sum(w), 1)
    known = [(score, weight) for score, weight in zip(scores, w, strict=True) if score is not None]
    for score, weight in known:
        assert all(weight <= other + 1e-12 for better, other in known if better > score)
    assert 1 - 1e-9 <= effective_size(w) <= len(w) + 1e-9


def test_what_is_not_known_is_no_evidence() -> None:
    assert softmax([None, None], 0.1) == [0.5, 0.5]
    low, middle, high = softmax([0.2, None, 0.8], 0.1)
    assert low < middle < high
    assert math.isclose(softmax([0.0, 0.1], 0.1)[1] / softmax([0.0, 0.1], 0.1)[0], math.e)


def test_effective_size() -> None:
    assert effective_size([0.25] * 4) == 4
    assert effective_size([1.0, 0.0]) == 1


def test_a_population_drifts_to_the_weights() -> None:
    """Resampled often with fresh lots, the shares are the weights."""
    chance, w = random.Random(1), [0.5, 0.3, 0.2]
    times = Counter(index for _ in range(2000) for index in systematic(w, 3, chance.random()))
    assert [times[i] / 6000 for i in range(3)] == pytest.approx(w, abs=0.01)
