"""When to stop counting votes: pure functions on counts. This module holds the rule that needs no prior, `ExactRule`.

What is bounded is the probability that the answer decided for is not the one that all `n` votes would have chosen, with ties
going to the first candidate.

Assumption: the order in which votes are counted says nothing about the answers, so that given the final counts all orders are
equally likely. That holds for samples drawn alike and counted in the order of their launch; counted as they arrive it holds
when latency does not depend on the answer. Nothing is assumed about the answers: each bound holds for every composition of the
`n` votes, and under looks at any of the votes, or at all of them. It is the setting of sampling without replacement as in
risk-limiting audits (Stark 2008; Waudby-Smith and Ramdas 2020, "Confidence sequences for sampling without replacement").
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

MOST_VOTES = 64
"""Largest `n` of the exact rule; its table takes time that grows with the fourth power of `n`."""


class Standing(NamedTuple):
    """The votes counted so far."""

    lead: int
    """Votes for the leading answer."""
    others: tuple[int, ...]
    """Votes for each other answer, in falling order."""
    left: int
    """Candidates of the `n` that are not counted yet. One that failed or has no answer is counted, and votes for nothing."""
    wins_ties: bool = True
    """Whether the leader would win a tie with whatever answer: no candidate before its first one can vote for another."""
    ahead: int = 0
    """If it may lose one: how many candidates still to come must all vote for it, lest it does; 0 if they cannot help."""
    voices: tuple[tuple[str, ...], ...] = ()
    """The sources of the votes for each answer, the leader's first."""

    @property
    def rival(self) -> int:
        """Votes for the strongest other answer."""
        return self.others[0] if self.others else 0

    @property
    def certain(self) -> bool:
        """Whether no answer can overtake the leader any more."""
        return self.lead > self.rival + self.left - (1 if self.wins_ties else 0) and self.lead > 0

    def cheered(self, votes: int) -> Standing:
        """After that many more votes, all for the leader."""
        first = self.wins_ties or 0 < self.ahead <= votes
        return Standing(self.lead + votes, self.others, self.left - votes, first, voices=self.voices)


class Said(NamedTuple):
    """What a counted candidate votes for, and whose voice that is."""

    key: str | None
    """Its answer; None for none."""
    source: str = ""
    weight: float = 1.0


def leading(votes: Mapping[int, Said]) -> int | None:
    """Number of the first candidate with the most popular answer; of equally popular ones, of the first candidate of all.

    `votes` holds what the counted candidates say, by number; weights count.
    """
    popular: dict[str, float] = {}
    for said in votes.values():
        if said.key is not None:
            popular[said.key] = popular.get(said.key, 0.0) + said.weight
    most = max(popular.values(), default=0.0)
    return min((number for number, said in votes.items() if said.key is not None and popular[said.key] == most), default=None)


def standing(votes: Mapping[int, Said], n: int) -> Standing:
    """Where a vote of `n` stands when these are counted, by number; in whatever order."""
    left, first = n - len(votes), leading(votes)
    if first is None:
        return Standing(0, (), left)
    voices: dict[str | None, list[str]] = {votes[first].key: []}
    for said in votes.values():
        voices.setdefault(said.key, []).append(said.source)
    voices.pop(None, None)
    lead, *others = (tuple(sorted(sources)) for sources in voices.values())
    others.sort(key=lambda sources: (-len(sources), sources))
    speaking = any(number in votes and votes[number].key is not None for number in range(first))
    ahead = 0 if speaking else sum(number not in votes for number in range(first))
    counts = tuple(len(sources) for sources in others)
    return Standing(len(lead), counts, left, not speaking and not ahead, ahead, (lead, *others))


class Rule(Protocol):
    """Decides when enough votes are counted."""

    def confidence(self, standing: Standing) -> float | None:
        """The probability, at least, that all votes would decide for the leader; None: go on counting."""

    def stated(self, standing: Standing) -> float | None:
        """That probability when counting must end here; None where nothing can be said."""

    def weight(self, source: str) -> float:
        """What a vote of that source counts."""


def votes_needed(rule: Rule, standing: Standing) -> int:
    """The fewest further votes after which `rule` could decide: all for the leader. 0 when it does already.

    By bisection: a rule that decides goes on to decide when the leader gets one more vote.
    """
    return bisect_left(range(standing.left), True, key=lambda more: rule.confidence(standing.cheered(more)) is not None)


class Boundary(NamedTuple):
    """Where counting stops."""

    least: Mapping[tuple[int, int], int]
    """Fewest votes of the leader for stopping, by votes counted and votes of the strongest rival, if it wins ties."""
    least_if_ties_lose: Mapping[tuple[int, int], int]
    """The same if it may lose a tie."""
    error: float
    """Probability of a wrong decision under the worst composition of the votes, at most."""


class ExactRule:
    """Stops at a boundary whose error is computed exactly, and is at most 1 - `confidence` whatever the votes are.

    Raises `ValueError` for n over `MOST_VOTES`.
    """

    def __init__(self, n: int, confidence: float) -> None:
        self.n, self.boundary = n, boundary(n, round(1 - confidence, 12))

    def confidence(self, standing: Standing) -> float | None:
        if standing.certain:
            return 1.0
        table = self.boundary.least if standing.wins_ties else self.boundary.least_if_ties_lose
        least = table.get((self.n - standing.left, standing.rival))
        return 1 - self.boundary.error if least is not None and standing.lead >= least else None

    def stated(self, standing: Standing) -> float | None:
        """That of the boundary, if the votes happen to be beyond it: it promises nothing elsewhere."""
        return self.confidence(standing)

    def weight(self, source: str) -> float:
        return 1.0


# The boundary. A state is (k, l, r): votes counted, votes for the leader, votes for its strongest rival.
#
# Which states stop is decided by one number each, `evidence`: the largest probability of seeing such a path under any
# composition in which the leader does not win, relative to its probability under all compositions alike (the inverse of the
# prior-posterior ratio, a martingale). Ville's inequality would allow to stop where it is below the error. That wastes most of
# the error when n is small, so the threshold is raised as far as the error, computed exactly, allows.
#
# The exact error. Say that L leads at the stop and W would win. L's chance to reach the boundary can only grow when a vote of W
# is turned into one of L or of a third answer, as the boundary is monotone (see `_table`) and the rival's count is at least W's:
# so for n_L votes of L the worst composition has n_W as small as it can be, n_L + 1, or n_L where a tie suffices, and the rest
# elsewhere. L's paths to the boundary are counted once for all compositions (`_first_hits`), each path of a composition being
# equally likely. Over several losers the errors add up to at most the worst sum over ways to share out the votes
# (`_worst_total`).


@lru_cache(maxsize=64)
def boundary(n: int, error: float) -> Boundary:
    """The boundary for `n` votes with a worst-case error of at most `error`. Raises `ValueError` for n over `MOST_VOTES`."""
    if not 1 <= n <= MOST_VOTES:
        raise ValueError(f'the exact rule is for 1 to {MOST_VOTES} votes, not {n}; use rule = "learnt"')
    beaten = _evidence(n, margin=1)
    tied = _evidence(n, margin=0)
    threshold = _largest(beaten.values(), lambda t: _worst_total(n, _risks(n, _table(n, beaten, t), 1), {}), error)
    first = _table(n, beaten, threshold)
    risks = _risks(n, first, 1)
    stricter = {state: max(tied[state], beaten[state] if beaten[state] > threshold else 0.0) for state in tied}
    second = _largest(stricter.values(), lambda t: _worst_total(n, risks, _risks(n, _table(n, stricter, t), 0)), error)
    other = _table(n, stricter, second)
    return Boundary(first, other, _worst_total(n, risks, _risks(n, other, 0)))


def _states(n: int) -> Iterator[tuple[int, int, int]]:
    for k in range(1, n + 1):
        for lead in range(1, k + 1):
            for rival in range(min(lead - 1, k - lead) + 1):
                yield k, lead, rival


def _evidence(n: int, margin: int) -> dict[tuple[int, int, int], float]:
    """By state, how well the seen votes go with compositions in which the leader is `margin` votes behind: 0 not at all."""
    return {state: _against(n, *state, margin) for state in _states(n)}


def _against(n: int, k: int, lead: int, rival: int, margin: int) -> float:
    rest = k - lead - rival
    most = (n - margin - rest) // 2
    fits = [_log_path(n, (lead, rival, rest), (has, has + margin, n - 2 * has - margin)) for has in range(lead, most + 1)]
    alike = math.log(2) + sum(map(math.lgamma, (lead + 1, rival + 1, rest + 1))) - math.lgamma(k + 3)
    return math.exp(max(fits) - alike) if fits else 0.0


def _log_path(n: int, seen: Sequence[int], has: Sequence[int]) -> float:
    """Log-probability of one order of the `seen` votes when `n` votes are composed as `has`, which must suffice."""
    return sum(_log_falling(h, s) for h, s in zip(has, seen, strict=True)) - _log_falling(n, sum(seen))


@lru_cache(maxsize=MOST_VOTES**2 * 2)
def _log_falling(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(n - k + 1)


def _table(n: int, evidence: Mapping[tuple[int, int, int], float], threshold: float) -> dict[tuple[int, int], int]:
    """The fewest votes of the leader by (k, rival) such that with these or more the evidence is at most `threshold`.

    Monotone: with more votes for the rival it takes at least as many.
    """
    table: dict[tuple[int, int], int] = {}
    for k in range(1, n + 1):
        floor = 1
        for rival in range(k // 2 + 1):
            most = k - rival
            least = most + 1
            while least - 1 > rival and evidence[k, least - 1, rival] <= threshold:
                least -= 1
            floor = max(floor, least)
            if floor > most:
                break
            table[k, rival] = floor
    return table


def _first_hits(n: int, table: Mapping[tuple[int, int], int]) -> dict[tuple[int, int, int], int]:
    """How many orders of votes reach the boundary first at (votes of L, of W, elsewhere), with W as the only rival.

    Only those matter in which L cannot win: it has no more than half of the votes.
    """
    alive, hits = {(0, 0, 0): 1}, dict[tuple[int, int, int], int]()
    for k in range(1, n + 1):
        reached: dict[tuple[int, int, int], int] = {}
        for (lead, rival, rest), paths in alive.items():
            for state in ((lead + 1, rival, rest), (lead, rival + 1, rest), (lead, rival, rest + 1)):
                reached[state] = reached.get(state, 0) + paths
        alive = {}
        for state, paths in reached.items():
            lead, rival, _ = state
            if lead >= table.get((k, rival), n + 1):
                hits[state] = paths
            elif lead <= n // 2 and rival <= (n + 1) // 2:
                alive[state] = paths
    return hits


def _risks(n: int, table: Mapping[tuple[int, int], int], margin: int) -> dict[int, float]:
    """The probability that an answer with so many votes, `margin` behind the winner, reaches the boundary."""
    hits = _first_hits(n, table)
    return {has: _risk(n, hits, (has, has + margin, n - 2 * has - margin)) for has in range(1, (n - margin) // 2 + 1)}


def _risk(n: int, hits: Mapping[tuple[int, int, int], int], has: tuple[int, int, int]) -> float:
    possible = ((seen, paths) for seen, paths in hits.items() if all(s <= h for s, h in zip(seen, has, strict=True)))
    return sum(math.exp(math.log(paths) + _log_path(n, seen, has)) for seen, paths in possible)


def _worst_total(n: int, beaten: Mapping[int, float], tied: Mapping[int, float]) -> float:
    """The largest sum of risks over all ways to share out the votes: for each winner a knapsack of losers.

    Of answers that share the highest count any may lose the tie, as that hangs on their candidates' numbers: so all add their risk.
    """
    worst = 0.0
    for winner in range(1, n + 1):
        best = [0.0] * (n - winner + 1)  # by votes left for losers
        for votes in range(1, n - winner + 1):
            shares = ((has, beaten.get(has, 0.0)) for has in range(1, min(winner - 1, votes) + 1))
            best[votes] = max([best[votes - 1], *(best[votes - has] + risk for has, risk in shares)])
        level = ((many, n - many * winner) for many in range(2, n // winner + 1))
        worst = max([worst, best[-1], *(many * tied.get(winner, 0.0) + best[left] for many, left in level)])
    return worst


def _largest(values: Iterable[float], error_at: Callable[[float], float], error: float) -> float:
    """The largest of the values at which the error is at most `error`, which grows with them; 0 is always allowed."""
    ordered = sorted({0.0, *values})
    low, high = 0, len(ordered) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if error_at(ordered[middle]) <= error + 1e-12:
            low = middle
        else:
            high = middle - 1
    return ordered[low]
