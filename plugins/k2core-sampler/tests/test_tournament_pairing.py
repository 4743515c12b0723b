"""Brackets, Swiss rounds and rankings: pure functions, tried on any number of entrants and any results."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_sampler.pairing import Table, bracket, most_rounds, rounds_for, swiss_round
from k2core_sampler.tournament import placed

from k2core import Candidate

sizes = st.integers(1, 33)


@given(sizes)
def test_a_bracket_holds_everybody_once_and_gives_byes_to_the_best(entrants: int) -> None:
    draw = bracket(entrants)
    assert len(draw) == 2 ** rounds_for(entrants)
    assert sorted(seed for seed in draw if seed is not None) == list(range(entrants))
    byes = len(draw) - entrants
    pairs = list(zip(draw[::2], draw[1::2], strict=True)) if entrants > 1 else []
    assert sorted(a for a, b in pairs if b is None and a is not None) == list(range(byes))
    assert not any(a is None for a, _ in pairs)


@given(st.integers(2, 33))
def test_the_two_best_can_only_meet_in_the_final(entrants: int) -> None:
    draw = bracket(entrants)
    half = len(draw) // 2
    assert (draw.index(0) < half) != (draw.index(1) < half)


def test_bracket_of_five() -> None:
    assert bracket(5) == [0, None, 3, 4, 1, None, 2, None]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 13), st.integers(0, 20), st.randoms(use_true_random=False))
def test_swiss_rounds_have_no_rematches_and_count(entrants: int, wanted: int, chance: random.Random) -> None:
    table = Table(entrants)
    rounds = min(wanted, most_rounds(entrants))
    for _ in range(rounds):
        before = len(table.games)
        pairs, out = swiss_round(table)
        met = [entrant for pair in pairs for entrant in pair]
        assert sorted([*met, *out]) == list(range(entrants))
        assert not any(table.met(a, b) for a, b in pairs)
        assert list(out.values()).count(1.0) == entrants % 2
        for a, b in pairs:
            table.games[a, b] = chance.choice([0.0, 0.5, 1.0])
        for entrant, points in out.items():
            table.free[entrant] = table.free.get(entrant, 0.0) + points
        assert len(table.games) == before + len(pairs)
    assert len(table.games) <= rounds * entrants / 2
    total = sum(map(table.points, range(entrants)))
    assert total == len(table.games) + sum(table.free.values())
    assert sorted(entrant for tier in table.swiss_tiers() for entrant in tier) == list(range(entrants))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 24))
def test_the_usual_number_of_rounds_pairs_everybody(entrants: int) -> None:
    """With consistent results, logarithmically many rounds leave nobody out but for the bye, and nobody has two of them."""
    table = Table(entrants)
    for _ in range(rounds_for(entrants)):
        pairs, out = swiss_round(table)
        assert len(pairs) == entrants // 2
        table.games |= {(a, b): float(a < b) for a, b in pairs}
        for entrant, points in out.items():
            table.free[entrant] = table.free.get(entrant, 0.0) + points
    assert all(points == 1.0 for points in table.free.values())
    assert table.swiss_tiers()[0] == [0]


def test_buchholz_breaks_ties() -> None:
    table = Table(4, {(0, 1): 1.0, (2, 3): 1.0, (0, 2): 1.0, (1, 3): 1.0})
    assert [table.points(i) for i in range(4)] == [2, 1, 1, 0]
    assert table.buchholz(1) == table.buchholz(2) == 2
    table.games[3, 0] = 1.0
    assert table.swiss_tiers()[0] == [0]


def entrants_of(*sizes: int) -> list[list[Candidate]]:
    return [[Candidate(id=f"{group}{i}", text=f"{group}") for i in range(size)] for group, size in enumerate(sizes)]


def test_the_winner_is_strictly_above_and_its_copies_come_next() -> None:
    scores = placed([[2, 0], [1]], entrants_of(1, 2, 3))
    assert scores == {"20": 1.0, "21": 1 - 1 / 6, "22": 1 - 1 / 6, "00": 1 - 1 / 3, "10": 1 - 2 / 3, "11": 1 - 2 / 3}
    assert placed([[0]], entrants_of(2)) == {"00": 1.0, "01": 0.5}


@given(st.lists(st.integers(1, 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_scores_follow_the_ranking(sizes: list[int], chance: random.Random) -> None:
    entrants = entrants_of(*sizes)
    order = chance.sample(range(len(sizes)), len(sizes))
    tiers = [list(tier) for tier in (order[:2], order[2:5], order[5:]) if tier]
    scores = placed(tiers, entrants)
    assert len(scores) == sum(sizes)
    winner = entrants[tiers[0][0]][0].id
    assert all(0 < score < 1 for name, score in scores.items() if name != winner)
    for better, worse in itertools.pairwise(tiers):
        top = max(scores[c.id] for entrant in worse for c in entrants[entrant])
        assert all(scores[c.id] > top for entrant in better for c in entrants[entrant])
