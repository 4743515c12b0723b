"""How sequences share bins, and what their targets are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2core_training.packing import TokenSequence, pack


@given(st.lists(st.integers(1, 100), max_size=60))
def test_every_sequence_is_in_one_bin_and_no_bin_overflows(lengths: list[int]) -> None:
    bins = pack(lengths, 100)
    assert sorted(i for members in bins for i in members) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in members) <= 100 for members in bins)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_bins_are_filled_well(lengths: list[int]) -> None:
    """Best-fit decreasing needs at most 11/9 of the fewest bins, plus one."""
    assert len(pack(lengths, 100)) <= 11 / 9 * -(-sum(lengths) // 100) + 1 + sum(length > 50 for length in lengths)
    assert pack([50] * 8, 100) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_the_same_lengths_give_the_same_bins_in_the_order_of_what_is_in_them() -> None:
    assert pack([3, 9, 3, 5, 1], 10) == [[0, 3], [1, 4], [2]] == pack([3, 9, 3, 5, 1], 10)


def test_a_sequence_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match="sequence 1 has 11 tokens; only 10"):
        pack([3, 11], 10)


def test_targets_as_a_slice_or_flags_and_never_the_first_token() -> None:
    assert list(TokenSequence([7, 8, 9], slice(None)).places()) == [1, 2]
    assert list(TokenSequence([7, 8, 9], slice(2, None)).places()) == [2]
    assert list(TokenSequence([7, 8, 9], [True, False, True]).places()) == [2]
    assert list(TokenSequence([7], slice(None)).places()) == []
