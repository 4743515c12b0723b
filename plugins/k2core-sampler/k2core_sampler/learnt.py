"""A stopping rule that learns from the problems solved before how much their votes agree. Pure numerics and one small state.

Model: the votes of a problem fall into classes of equal answers like the draws of a Pitman-Yor process (Pitman and Yor 1997):
after k votes in c classes, the next one joins a class of m votes with probability (m - d) / (k + t) and opens a new one with (t
+ c d) / (k + t). Each problem has its own discount d and concentration t; how common which ones are is the prior, learnt as the
weights of a grid (`KINDS`) by expectation maximisation from the agreement seen before, with a broad Dirichlet prior that a few
problems outweigh. A negative discount is a fixed number of answers, t / -d, about equally likely: the near-ties.

Counts of a problem that was stopped early are as good as full ones here: the stop depends on counted votes only, so it is
ignorable. But problems that all stop after one vote teach nothing, hence `adaptive`'s warm-up and audits.

What the rule states is the posterior probability that all n votes would decide as the leader stands. It is right on average
over problems like those before; it promises nothing for a single unusual one, as `ExactRule` does.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from .stopping import Standing

KINDS: tuple[tuple[float, float], ...] = tuple(
    [(d, t) for d in (0.0, 0.3, 0.6) for t in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 40.0)]
    + [(-spread, answers * spread) for answers in (2, 3, 5) for spread in (1.0, 5.0, 50.0)]
)
"""(discount, concentration) of the kinds of problems that the prior mixes."""

MASS = 4.0
"""How many problems the broad prior over the kinds is worth."""
REMEMBERED = 1000
"""Problems after which the oldest is forgotten, so that a change of model or task is followed."""
MARGIN = 1.25
"""The stated error is so many times the posterior one, for what the model misses: votes that are no independent draws."""
RARE = 1e-5
"""Kinds less likely than this after the votes are not looked at."""
RECALLING = 20
"""Steps of expectation maximisation after many problems at once; after one more there is one."""
EXACT = 11
"""Votes still to come up to which the risk is computed exactly; beyond, an upper bound."""

Kind = tuple[float, float]


class Weight(NamedTuple):
    """A kind of problem and how common it is."""

    discount: float
    concentration: float
    share: float


class Prior:
    """How common which kinds of problems are, learnt from counts. For any thread."""

    def __init__(self, weights: Sequence[tuple[float, float, float]] = ()) -> None:
        given = [Weight(*weight) for weight in weights] or [Weight(d, t, 1 / len(KINDS)) for d, t in KINDS]
        total = sum(weight.share for weight in given)
        self._kinds = [(weight.discount, weight.concentration) for weight in given]
        self._start = [MASS * weight.share / total for weight in given]
        self._shares = [weight.share / total for weight in given]
        self._seen: deque[tuple[int, ...]] = deque()
        self._counts: Counter[tuple[int, ...]] = Counter()
        self._lock = threading.Lock()

    @property
    def problems(self) -> int:
        """How many it has learnt from and remembers."""
        return len(self._seen)

    def weights(self, least: float = 0.0) -> tuple[Weight, ...]:
        """The kinds whose share is over `least`."""
        with self._lock:
            return tuple(Weight(*kind, share) for kind, share in zip(self._kinds, self._shares, strict=True) if share > least)

    def seen(self) -> list[tuple[int, ...]]:
        """Votes by answer of the problems that it remembers."""
        with self._lock:
            return list(self._seen)

    def recall(self, problems: Iterable[Iterable[int]]) -> None:
        """Take in many problems at once."""
        with self._lock:
            for counts in problems:
                self._remember(tuple(sorted(counts, reverse=True)))
            for _ in range(RECALLING):
                self._shares = self._maximised(self._shares)

    def learn(self, counts: Iterable[int]) -> None:
        """Take in the votes by answer of one more problem."""
        with self._lock:
            self._remember(tuple(sorted(counts, reverse=True)))
            self._shares = self._maximised(self._shares)

    def _remember(self, counts: tuple[int, ...]) -> None:
        self._seen.append(counts)
        self._counts[counts] += 1
        if len(self._seen) > REMEMBERED:
            oldest = self._seen.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]

    def _maximised(self, shares: Sequence[float]) -> list[float]:
        """One step of expectation maximisation."""
        total = list(self._start)
        for counts, times in self._counts.items():
            for place, share in enumerate(posterior(self._kinds, shares, counts)):
                total[place] += times * share
        return [weight / sum(total) for weight in total]


class LearntRule:
    """Stops when the posterior probability that all votes would decide otherwise is at most 1 - `confidence`."""

    def __init__(self, confidence: float, prior: Sequence[Weight]) -> None:
        self.error = round(1 - confidence, 12)
        self._kinds = [(weight.discount, weight.concentration) for weight in prior]
        self._shares = [weight.share for weight in prior]

    def confidence(self, standing: Standing) -> float | None:
        stated = self.stated(standing)
        return stated if 1 - stated <= self.error else None

    def weight(self, source: str) -> float:
        return 1.0

    def stated(self, standing: Standing) -> float:
        """The probability that all votes would decide for the leader."""
        if standing.certain:
            return 1.0
        if not standing.lead:
            return 0.0
        counts = tuple(sorted((standing.lead, *standing.others), reverse=True))
        shares = posterior(self._kinds, self._shares, counts)
        risk = sum(share * overtaken(kind, standing) for kind, share in zip(self._kinds, shares, strict=True) if share > RARE)
        return max(0.0, 1 - MARGIN * risk)


def posterior(kinds: Sequence[Kind], shares: Sequence[float], counts: tuple[int, ...]) -> list[float]:
    """How likely each kind is after these votes by answer, in falling order."""
    logs = [
        math.log(share) + log_partition(kind, counts) if share else -math.inf for kind, share in zip(kinds, shares, strict=True)
    ]
    top = max(logs)
    if top == -math.inf:
        return list(shares)
    terms = [math.exp(log - top) for log in logs]
    return [term / sum(terms) for term in terms]


@lru_cache(maxsize=1 << 16)
def log_partition(kind: Kind, counts: tuple[int, ...]) -> float:
    """Log-probability that votes fall into classes of these sizes (Pitman 1995); minus infinity with fewer answers in the kind."""
    discount, concentration = kind
    opened = [concentration + place * discount for place in range(1, len(counts))]
    if any(weight <= 1e-9 for weight in opened):
        return -math.inf
    joined = sum(math.lgamma(size - discount) - math.lgamma(1 - discount) for size in counts)
    drawn = math.lgamma(concentration + sum(counts)) - math.lgamma(concentration + 1)
    return sum(map(math.log, opened)) + joined - drawn


def overtaken(kind: Kind, standing: Standing) -> float:
    """The probability that after all votes another answer is ahead of the leader, or level with it where ties are lost."""
    behind = 1 if standing.wins_ties else 0
    if standing.left <= EXACT:
        return _overtaken(kind, standing.lead, standing.others, standing.left, behind)
    return min(1.0, _overtaken_at_most(kind, standing, behind))


@lru_cache(maxsize=1 << 18)
def _overtaken(kind: Kind, lead: int, others: tuple[int, ...], left: int, behind: int) -> float:
    """By recursion over the next vote; an answer wins that has at least `lead + behind` votes."""
    if (others[0] if others else 0) + left < lead + behind:
        return 0.0
    if not left:
        return 1.0
    discount, concentration = kind
    total = concentration + lead + sum(others)
    chance = (lead - discount) / total * _overtaken(kind, lead + 1, others, left - 1, behind)
    for size, times in Counter(others).items():
        place = others.index(size)
        grown = (*others[:place], size + 1, *others[place + 1 :])
        chance += times * (size - discount) / total * _overtaken(kind, lead, grown, left - 1, behind)
    new = (concentration + discount * (1 + len(others))) / total
    return chance + (new * _overtaken(kind, lead, (*others, 1), left - 1, behind) if new > 1e-9 else 0.0)


def _overtaken_at_most(kind: Kind, standing: Standing, behind: int) -> float:
    """Upper bound: the expected number of other answers, seen or new, that overtake the leader."""
    counts = (standing.lead, standing.lead + sum(standing.others), standing.left)
    known = sum(_pair(kind, *counts, size, behind) * times for size, times in Counter(standing.others).items())
    counted, classes = standing.lead + sum(standing.others), 1 + len(standing.others)
    return known + _newcomers(kind, counted, classes, standing.left, standing.lead + behind)


@lru_cache(maxsize=1 << 14)
def _newcomers(kind: Kind, counted: int, classes: int, left: int, size: int) -> float:
    """The expected number of answers that come up in the next `left` votes and get at least `size` of them."""
    discount, concentration = kind
    expected, met = 0.0, float(classes)
    for later in range(left - 1, size - 2, -1):  # votes after the one that brings the newcomer
        total = concentration + counted + left - 1 - later
        new = max(0.0, (concentration + discount * met) / total)
        met += new
        expected += new * sum(_split(later, more, 1 - discount, total + discount) for more in range(size - 1, later + 1))
    return expected


@lru_cache(maxsize=1 << 14)
def _pair(kind: Kind, lead: int, counted: int, left: int, size: int, behind: int) -> float:
    """The probability that an answer with `size` votes overtakes the leader: first how many votes fall to the two, then how."""
    discount, concentration = kind
    mine, its = lead - discount, size - discount
    rest = concentration + counted - mine - its
    gap, chance = lead - size + behind, 0.0
    for both in range(gap, left + 1):
        to_it = range((both + gap + 1) // 2, both + 1)
        chance += _split(left, both, mine + its, rest) * sum(_split(both, votes, its, mine) for votes in to_it)
    return chance


def _split(n: int, k: int, a: float, b: float) -> float:
    """Beta-binomial: the probability that k of n draws go to the first of two sides that start with weights a and b."""
    if b <= 1e-9:
        return float(k == n)
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    beta = math.lgamma(k + a) + math.lgamma(n - k + b) - math.lgamma(n + a + b)
    return math.exp(ways + beta - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b))
