"""How the share of stragglers is estimated, and how many spare calls follow from it."""

from __future__ import annotations

import itertools

import pytest
from k2core_sampler.stragglers import Durations, prompt, straggling


def test_share_of_slow_calls() -> None:
    assert straggling([]) == 0
    assert straggling([(0.05, True)] * 10) == 0
    assert straggling([(0.05, True)] * 3 + [(0.4, True)]) == pytest.approx(0.25)


def test_calls_cancelled_early_count_for_what_they_show() -> None:
    """Cancelled at the moment of the decision: longer than the others, how long nobody knows."""
    assert straggling([(0.05, True)] * 30 + [(0.06, False)] * 10) == pytest.approx(0.25)
    assert straggling([(0.05, True)] * 30 + [(0.01, False)] * 10) == 0  # they might have been as quick


def test_fast_back_ends_need_no_spare_calls() -> None:
    assert straggling([(0.0001, True)] * 3 + [(0.004, True)]) == 0


def test_probability_of_no_wait_by_enumeration() -> None:
    for needed, spare, share in itertools.product((1, 3), (0, 1, 2), (0.1, 0.25)):
        calls = needed + spare
        fine = sum(
            share ** sum(slow) * (1 - share) ** (calls - sum(slow))
            for slow in itertools.product((0, 1), repeat=calls)
            if sum(slow) <= spare
        )
        assert prompt(needed, spare, share) == pytest.approx(fine)


def test_spare_calls_grow_with_stragglers_up_to_the_most() -> None:
    durations = Durations()
    assert durations.spare(3, 3) == 0
    for slow in (True, False, False, False) * 10:
        durations.add(0.4 if slow else 0.05, True)
    assert durations.spare(3, 3) == 1
    assert durations.spare(3, 0) == 0
    assert durations.spare(6, 9) >= 2
