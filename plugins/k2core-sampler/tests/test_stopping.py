"""The exact rule: its stated error holds, by enumeration of all orders of all votes, and it stops where it may."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_sampler.stopping import MOST_VOTES, ExactRule, Rule, Said, Standing, boundary, leading, standing, votes_needed

CONFIDENCES = (0.6, 0.8, 0.9, 0.95, 0.99)


def compositions(n: int, most: int | None = None) -> Iterator[tuple[int, ...]]:
    """The ways to share out n votes, without regard to names."""
    if not n:
        yield ()
    for first in range(min(n, n if most is None else most), 0, -1):
        for rest in compositions(n - first, first):
            yield (first, *rest)


def orders(votes: Sequence[str | None]) -> Iterator[tuple[str | None, ...]]:
    """All different orders; each is equally likely."""
    left = Counter(votes)

    def go(done: tuple[str | None, ...]) -> Iterator[tuple[str | None, ...]]:
        if len(done) == len(votes):
            yield done
        for vote in list(left):
            if left[vote]:
                left[vote] -= 1
                yield from go((*done, vote))
                left[vote] += 1

    yield from go(())


def said(votes: Mapping[int, str | None]) -> dict[int, Said]:
    return {number: Said(vote) for number, vote in votes.items()}


def decided(rule: Rule, votes: Sequence[str | None], numbers: Sequence[int]) -> tuple[str | None, int]:
    """The answer decided for and the votes counted, when candidate `numbers[i]` is the i-th to be counted and says `votes[i]`."""
    counted: dict[int, Said] = {}
    for number, vote in zip(numbers, votes, strict=True):
        counted[number] = Said(vote)
        first = leading(counted)
        if first is not None and rule.confidence(standing(counted, len(votes))) is not None:
            return counted[first].key, len(counted)
    first = leading(counted)
    return (None if first is None else counted[first].key), len(counted)


def error(rule: Rule, votes: Sequence[str | None], numbers: Sequence[int]) -> float:
    """The share of orders that lead to another decision than all votes do."""
    wrong = total = 0
    for order in orders(votes):
        full = said(dict(zip(numbers, order, strict=True)))
        first = leading(full)
        wrong += decided(rule, order, numbers)[0] != (None if first is None else full[first].key)
        total += 1
    return wrong / total


def named(composition: Sequence[int], silent: int = 0) -> list[str | None]:
    votes: list[str | None] = [f"answer {place}" for place, count in enumerate(composition) for _ in range(count)]
    return [*votes[: len(votes) - silent], *[None] * silent]


@pytest.mark.parametrize("n", range(1, 7))
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_stated_error_holds_for_every_composition_in_order_of_launch(n: int, confidence: float) -> None:
    rule = ExactRule(n, confidence)
    worst = max(error(rule, named(composition), range(n)) for composition in compositions(n))
    assert worst <= rule.boundary.error + 1e-9 <= 1 - confidence + 2e-9


@pytest.mark.parametrize("n", range(2, 5))
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_stated_error_holds_in_every_order_of_arrival(n: int, confidence: float) -> None:
    rule = ExactRule(n, confidence)
    for numbers in itertools.permutations(range(n)):
        for composition in compositions(n):
            assert error(rule, named(composition), numbers) <= rule.boundary.error + 1e-9


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_stated_error_holds_with_silent_candidates_and_any_numbers(data: st.DataObject) -> None:
    n = data.draw(st.integers(5, 8))
    confidence = data.draw(st.sampled_from(CONFIDENCES))
    composition = data.draw(st.sampled_from([c for c in compositions(n) if len(c) <= 3]))
    votes = named(composition, data.draw(st.integers(0, n // 2)))
    numbers = data.draw(st.permutations(range(n)))
    rule = ExactRule(n, confidence)
    assert error(rule, votes, numbers) <= rule.boundary.error + 1e-9


@pytest.mark.parametrize(
    ("n", "votes"), [(9, (5, 4)), (9, (4, 3, 2)), (9, (4, 4, 1)), (9, (3, 3, 3)), (8, (4, 4)), (8, (3, 3, 1, 1))]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_near_ties_of_eight_and_nine_votes(n: int, votes: Sequence[int], confidence: float) -> None:
    rule = ExactRule(n, confidence)
    assert error(rule, named(votes), range(n)) <= rule.boundary.error + 1e-9


def test_error_is_spent_and_not_wasted() -> None:
    """Some composition comes within a factor of the bound; for 6 votes it reaches it."""
    for n in (6, 8):
        rule = ExactRule(n, 0.9)
        worst = max(
            error(rule, named(c), numbers) for c in compositions(n) if len(c) == 2 for numbers in [range(n), range(n - 1, -1, -1)]
        )
        assert worst >= rule.boundary.error / 4


def test_three_to_nothing_of_eight() -> None:
    """Three votes for an answer with 3 of 8 come first in 1 of 56 orders."""
    rule = ExactRule(8, 0.95)
    assert rule.confidence(Standing(3, (), 5)) == pytest.approx(1 - 2 / 56)
    assert rule.confidence(Standing(2, (), 6)) is None
    assert rule.confidence(Standing(3, (), 5, wins_ties=False)) is None  # it might end 4 to 4: twice 1 in 14
    assert rule.confidence(Standing(4, (), 4, wins_ties=False)) is not None


@pytest.mark.parametrize(
    ("now", "certain"),
    [
        (Standing(2, (), 1), True),
        (Standing(2, (1,), 1), True),
        (Standing(2, (1,), 1, wins_ties=False), False),
        (Standing(1, (), 1), True),
        (Standing(1, (), 2), False),
        (Standing(0, (), 0), False),
        (Standing(5, (3,), 2), True),
        (Standing(5, (3,), 2, wins_ties=False), False),
    ],
)
def test_certain_leaders(now: Standing, certain: bool) -> None:
    n = now.lead + sum(now.others) + now.left
    assert now.certain is certain
    if certain:
        assert ExactRule(max(1, n), 0.95).confidence(now) == 1.0


@pytest.mark.parametrize("n", [8, 16, 32])
def test_boundary_is_monotone_and_stricter_without_the_first_candidate(n: int) -> None:
    found = boundary(n, 0.05)
    assert 0 <= found.error <= 0.05 + 1e-9
    for table in (found.least, found.least_if_ties_lose):
        for (k, rival), least in table.items():
            assert rival < least <= k - rival
            assert least <= table.get((k, rival + 1), n)
    assert all(found.least[state] <= least for state, least in found.least_if_ties_lose.items())


@pytest.mark.parametrize("n", [5, 8, 13, 20])
@pytest.mark.parametrize("error", [0.01, 0.05, 0.2])
def test_one_more_vote_for_the_leader_never_undoes_a_decision(n: int, error: float) -> None:
    """What `votes_needed` relies on."""
    found = boundary(n, error)
    for table in (found.least, found.least_if_ties_lose):
        for (k, rival), least in table.items():
            assert k == n or table[k + 1, rival] <= least + 1


def test_more_confidence_takes_more_votes() -> None:
    needed = [votes_needed(ExactRule(16, confidence), Standing(0, (), 16)) for confidence in (0.5, 0.8, 0.9, 0.99)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]


def test_too_many_votes_are_refused() -> None:
    with pytest.raises(ValueError, match=f"1 to {MOST_VOTES} votes"):
        ExactRule(MOST_VOTES + 1, 0.95)


def test_standing_of_counted_votes() -> None:
    def now(votes: Mapping[int, str | None]) -> Standing:
        return standing(said(votes), 4)._replace(voices=())

    assert now({}) == Standing(0, (), 4)
    assert now({0: "a", 1: "a"}) == Standing(2, (), 2)
    assert now({0: "a", 1: "b"}) == Standing(1, (1,), 2)
    assert now({1: "b", 2: "b"}) == Standing(2, (), 2, wins_ties=False, ahead=1)
    assert now({0: None, 1: "b", 2: "b"}) == Standing(2, (), 1)
    assert now({0: "a", 1: "b", 3: "b"}) == Standing(2, (1,), 1, wins_ties=False)
    assert leading(said({3: "b", 1: "a", 2: "b", 0: "a"})) == 0
    assert leading(said({0: None})) is None


def test_weights_and_sources_of_votes() -> None:
    votes = {0: Said("a", "small", 1.0), 1: Said("b", "big", 2.5), 2: Said("a", "tiny", 1.0), 3: Said(None, "big")}
    assert leading(votes) == 1
    assert standing(votes, 5) == Standing(1, (2,), 1, wins_ties=False, ahead=0, voices=(("big",), ("small", "tiny")))


def test_votes_that_would_help_to_win_ties_are_hoped_for() -> None:
    rule = ExactRule(8, 0.95)
    assert votes_needed(rule, standing(said({1: "a"}), 8)) == 2  # candidate 0 may still say "a"
    assert votes_needed(rule, standing(said({1: "a", 2: "a", 3: "a"}), 8)) == 1
