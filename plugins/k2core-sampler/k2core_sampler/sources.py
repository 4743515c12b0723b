"""Votes of several models: how reliable each one is, learnt without labels, and a stopping rule that heeds it.

Model (Dawid and Skene 1979, one parameter a source): source s votes for the right answer of a problem with probability p_s, and
else for one of a wrong answers alike. Expectation maximisation over the problems seen finds p_s from who agrees with whom, and a
from how often wrong votes agree. A vote then weighs log(p_s a / (1 - p_s)), and the heaviest answer is the likeliest one.

Two sources cannot be told apart by their agreement, so nothing is learnt from fewer than three. Sources that make the same mistakes
look reliable: the weights are only as good as the mistakes are independent.
"""

from __future__ import annotations

import math
import random
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from .stopping import Standing

ANSWERS = 10.0
"""How many wrong answers there are taken to be before anything is known."""
FEWEST, MOST = 1.5, 50.0
"""Bounds for what is learnt of that."""
SHRINKAGE = 4.0
"""So many votes of average reliability are added to each source's."""
KEPT = 250
"""Problems after which the oldest is forgotten."""
ENOUGH = 15
"""Votes from which a source counts as known."""
RECALLING = 20
"""Steps of expectation maximisation after many problems at once; after one more there is one."""
MARGIN = 2.0
"""The stated error is so many times the simulated one: problems differ in difficulty, which the model leaves out."""
SIMULATED = 200
"""Continuations of a poll that the rule draws."""
STEP = 0.02
"""Reliabilities are rounded to multiples of this, so that what was computed for one problem serves the next."""


class Source(NamedTuple):
    """A model that writes candidates."""

    name: str
    reliability: float
    """Probability that its vote is the right answer."""
    share: float
    """Of the votes."""


class Known(NamedTuple):
    """What a poll goes by."""

    sources: tuple[Source, ...]
    answers: float = ANSWERS
    """Effective number of wrong answers: one in so many pairs of wrong votes agrees."""


Votes = tuple[tuple[str, int], ...]
"""Of one problem: the source, and the class of its answer."""


class Sources:
    """What is known of each source. For any thread."""

    def __init__(self, known: Iterable[tuple[str, float, float]] = (), answers: float = ANSWERS) -> None:
        self._given = Known(tuple(Source(*source) for source in known), answers)
        self._seen: deque[Votes] = deque(maxlen=KEPT)
        self._reliability: dict[str, float] = {}
        self._answers = ANSWERS
        self._lock = threading.Lock()

    def seen(self) -> list[Votes]:
        """The votes of the problems that it remembers."""
        with self._lock:
            return list(self._seen)

    def recall(self, problems: Iterable[Iterable[tuple[str, str]]]) -> None:
        """Take in many problems at once."""
        with self._lock:
            self._seen.extend(map(_classes, problems))
            for _ in range(RECALLING):
                self._reliability, self._answers = maximised(self._seen, self._reliability, self._answers)

    def learn(self, votes: Iterable[tuple[str, str]]) -> None:
        """Take in the votes, source and key, of one more problem."""
        with self._lock:
            self._seen.append(_classes(votes))
            self._reliability, self._answers = maximised(self._seen, self._reliability, self._answers)

    def known(self) -> Known:
        """The sources, if there are at least three and each has voted often enough; else those given at the start."""
        with self._lock:
            counts = Counter(source for votes in self._seen for source, _ in votes)
            total = sum(counts.values())
            often = {source: count for source, count in sorted(counts.items()) if count >= ENOUGH}
            if len(often) < 3:
                return self._given
            found = tuple(Source(s, _rounded(self._reliability[s]), round(count / total, 2)) for s, count in often.items())
            return Known(found, round(self._answers))


def _rounded(reliability: float) -> float:
    return min(1 - STEP, max(STEP, round(round(reliability / STEP) * STEP, 6)))


def _classes(votes: Iterable[tuple[str, str]]) -> Votes:
    classes: dict[str, int] = {}
    return tuple((source, classes.setdefault(key, len(classes))) for source, key in votes)


def maximised(problems: Iterable[Votes], reliability: Mapping[str, float], answers: float) -> tuple[dict[str, float], float]:
    """One step of expectation maximisation: the share of right votes of each source, and wrong votes per pair that agree."""
    right, total = dict[str, float](), Counter[str]()
    pairs, equal = SHRINKAGE, SHRINKAGE / ANSWERS
    for votes in problems:
        chances = right_answers([(reliability.get(source, 0.5), choice) for source, choice in votes], answers)
        for source, choice in votes:
            right[source] = right.get(source, 0.0) + chances[choice]
            total[source] += 1
        more, alike = _wrong_pairs(votes, chances)
        pairs, equal = pairs + more, equal + alike
    mean = sum(right.values()) / sum(total.values()) if total else 0.5
    found = {s: min(0.98, max(0.02, (right[s] + SHRINKAGE * mean) / (count + SHRINKAGE))) for s, count in total.items()}
    return found, min(MOST, max(FEWEST, pairs / equal))


def _wrong_pairs(votes: Votes, chances: Mapping[int, float]) -> tuple[float, float]:
    """The expected number of pairs of wrong votes, and of those that agree."""
    sizes = Counter(choice for _, choice in votes)
    all_equal = sum(size * (size - 1) for size in sizes.values())
    cases = [(chance, len(votes) - sizes[choice], sizes[choice] * (sizes[choice] - 1)) for choice, chance in chances.items()]
    cases.append((max(0.0, 1 - sum(chances.values())), len(votes), 0))
    pairs = sum(chance * wrong * (wrong - 1) / 2 for chance, wrong, _ in cases)
    return pairs, sum(chance * (all_equal - same) / 2 for chance, _, same in cases)


def right_answers(votes: Sequence[tuple[float, int]], answers: float) -> dict[int, float]:
    """The probability of each answer voted for to be the right one, from reliability and class of each vote."""
    weights: dict[int, float] = {}
    for reliability, choice in votes:
        weights[choice] = weights.get(choice, 0.0) + weight_of(reliability, answers)
    return _shares(weights, answers)


def weight_of(reliability: float, answers: float) -> float:
    """Log-odds of a vote for its answer against any one other; never negative."""
    return max(0.01, math.log(reliability * answers / (1 - reliability)))


def _shares(weights: Mapping[int, float], answers: float) -> dict[int, float]:
    unseen = max(1.0, answers + 1 - len(weights))
    top = max([0.0, *weights.values()])
    odds = {choice: math.exp(weight - top) for choice, weight in weights.items()}
    total = sum(odds.values()) + unseen * math.exp(-top)
    return {choice: odd / total for choice, odd in odds.items()}


class SourcesRule:
    """Stops when all n votes, so weighted, would most probably decide as the leader stands: by simulation with a fixed seed."""

    def __init__(self, confidence: float, known: Known) -> None:
        self.error, self.known = round(1 - confidence, 12), known
        total = sum(source.share for source in known.sources)
        mean = sum(source.reliability * source.share for source in known.sources) / total
        self._weights = {source.name: weight_of(source.reliability, known.answers) for source in known.sources}
        self._unknown = weight_of(mean, known.answers)

    def weight(self, source: str) -> float:
        """That of an unknown one is the average's."""
        return self._weights.get(source, self._unknown)

    def confidence(self, standing: Standing) -> float | None:
        stated = self.stated(standing)
        return stated if 1 - stated <= self.error else None

    def stated(self, standing: Standing) -> float:
        """The probability that all votes would decide for the leader."""
        if not standing.lead:
            return 0.0
        voices = standing.voices or ((),)
        cheers = standing.lead - len(voices[0])
        weights = [sum(map(self.weight, several)) for several in voices]
        weights[0] += cheers * self._unknown
        risk = 1 - stays(tuple(round(weight, 6) for weight in weights), standing.left, self.known)
        return max(0.0, 1 - MARGIN * risk)


@lru_cache(maxsize=1 << 14)
def stays(weights: tuple[float, ...], left: int, known: Known) -> float:
    """How often the first answer is still the heaviest after `left` more votes, over `SIMULATED` continuations."""
    heavy = [weight_of(source.reliability, known.answers) for source in known.sources]
    if weights[0] >= max(weights[1:], default=0.0) + left * max(heavy):
        return 1.0
    draw = random.Random(1)
    chances = _shares(dict(enumerate(weights)), known.answers)
    truths = draw.choices([*chances, None], [*chances.values(), max(0.0, 1 - sum(chances.values()))], k=SIMULATED)
    return sum(_kept(draw, weights, truth, left, known) for truth in truths) / SIMULATED


def _kept(draw: random.Random, weights: Sequence[float], truth: int | None, left: int, known: Known) -> bool:
    """Draw the votes to come, given the right answer, or None for a new one: whether the first answer stays ahead."""
    now = dict(enumerate(weights))
    right = len(weights) if truth is None else truth
    for source in draw.choices(known.sources, [source.share for source in known.sources], k=left):
        choice = right if draw.random() < source.reliability else _wrong(draw, right, known.answers)
        now[choice] = now.get(choice, 0.0) + weight_of(source.reliability, known.answers)
    return now[0] >= max(now.values())


def _wrong(draw: random.Random, right: int, answers: float) -> int:
    """One of the wrong answers; as many as there are, numbered with a gap at the right one."""
    choice = int(draw.random() * answers)
    return choice + 1 if choice >= right else choice
