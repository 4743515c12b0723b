"""How likely drafted tokens are to be accepted, by sequence and by length of the match."""

from __future__ import annotations

from dataclasses import dataclass, field

DECAY = 0.9
"""What a draft's outcome weighs after the next one of the same sequence: about the last ten count."""
COMMON_DECAY = 0.995
"""The same for what all sequences together have shown."""
PRIOR = 2.0
"""Drafts that the common experience weighs against a sequence's own."""


@dataclass
class Beta:
    """A decaying estimate of a probability: hits and misses, both forgotten exponentially."""

    hits: float = 0.0
    misses: float = 0.0

    def add(self, hits: int, misses: int, decay: float) -> None:
        self.hits = self.hits * decay + hits
        self.misses = self.misses * decay + misses

    def mean(self, prior: float, weight: float) -> float:
        return (self.hits + prior * weight) / (self.hits + self.misses + weight)


@dataclass
class Chances:
    """The first drafted token, and any later one given that those before it were accepted."""

    first: Beta = field(default_factory=Beta)
    later: Beta = field(default_factory=Beta)

    def add(self, drafted: int, accepted: int, decay: float) -> None:
        """Each position that was reached is one trial; those behind the first miss say nothing."""
        self.first.add(int(accepted > 0), int(accepted == 0), decay)
        if accepted:
            self.later.add(accepted - 1, int(drafted > accepted), decay)


class Acceptance:
    """Estimates for (sequence, class of match), which start from those of all sequences for that class."""

    def __init__(self) -> None:
        self._common: dict[int, Chances] = {}
        self._own: dict[int, dict[int, Chances]] = {}

    def learn(self, id: int, match: int, drafted: int, accepted: int) -> None:
        """Of `drafted` tokens the first `accepted` were right."""
        if drafted:
            kind = match.bit_length()
            self._common.setdefault(kind, Chances()).add(drafted, accepted, COMMON_DECAY)
            self._own.setdefault(id, {}).setdefault(kind, Chances()).add(drafted, accepted, DECAY)

    def chances(self, id: int, match: int) -> tuple[float, float]:
        """Probabilities that the first drafted token is accepted, and each later one after an accepted one."""
        kind = match.bit_length()
        common = self._common.get(kind) or Chances()
        first, later = common.first.mean(0.5, PRIOR), common.later.mean(0.7, PRIOR)
        own = self._own.get(id, {}).get(kind)
        return (own.first.mean(first, PRIOR), own.later.mean(later, PRIOR)) if own else (first, later)

    def forget(self, id: int) -> None:
        self._own.pop(id, None)
