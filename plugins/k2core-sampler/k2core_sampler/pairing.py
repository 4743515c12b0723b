"""Who plays whom, and what the results say: knock-out brackets and Swiss rounds. Pure functions over entrants 0, 1, … by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Pair = tuple[int, int]
_PATIENCE = 2_000
"""Pairings looked at in one Swiss round before some entrants are left without a game."""


def bracket(entrants: int) -> list[int | None]:
    """The order of a knock-out draw, a power of two long: neighbours meet first, and seeds 0 and 1 only in the final.

    None is a bye; they fall to the highest seeds. So `bracket(5)` is `[0, None, 3, 4, 1, None, 2, None]`.
    """
    order = [0]
    while len(order) < entrants:
        size = 2 * len(order)
        order = [seed for top in order for seed in (top, size - 1 - top)]
    return [seed if seed < entrants else None for seed in order]


def rounds_for(entrants: int) -> int:
    """Rounds in which one of so many comes out on top: the binary logarithm, rounded up."""
    return max(0, entrants - 1).bit_length()


def most_rounds(entrants: int) -> int:
    """Rounds after which everybody has met everybody else."""
    return entrants - 1 if entrants % 2 == 0 else entrants


@dataclass
class Table:
    """What has been played among `entrants`."""

    entrants: int
    games: dict[Pair, float] = field(default_factory=dict)
    """Points of the first of a pair, 1, 0.5 or 0; the second has the rest."""
    free: dict[int, float] = field(default_factory=dict)
    """Points of entrants that sat out: one for a bye, one half where there was no opponent left."""

    def opponents(self, entrant: int) -> list[int]:
        return [b if a == entrant else a for a, b in self.games if entrant in (a, b)]

    def points(self, entrant: int) -> float:
        """One a win or a bye, one half a tie."""
        won = sum(score if a == entrant else 1 - score for (a, b), score in self.games.items() if entrant in (a, b))
        return won + self.free.get(entrant, 0.0)

    def buchholz(self, entrant: int) -> float:
        """The opponents' points added up: of two with equal points, the one with the stronger opponents did better."""
        return sum(map(self.points, self.opponents(entrant)))

    def met(self, a: int, b: int) -> bool:
        return (a, b) in self.games or (b, a) in self.games

    def swiss_tiers(self) -> list[list[int]]:
        """Entrants by points, then Buchholz, best first; those with both equal share a tier, ordered by seed."""
        return tiers(self.entrants, lambda entrant: (self.points(entrant), self.buchholz(entrant)))


def tiers(entrants: int, key: Callable[[int], tuple[float, ...]]) -> list[list[int]]:
    """Entrants with equal keys together, highest key first."""
    keys = {entrant: key(entrant) for entrant in range(entrants)}
    return [[entrant for entrant in keys if keys[entrant] == value] for value in sorted(set(keys.values()), reverse=True)]


def swiss_round(table: Table) -> tuple[list[Pair], dict[int, float]]:
    """The next round's games, and the points of those that sit out: the lowest that has not yet, when their number is odd.

    Within a group of equal points the upper half plays the lower, as in the Dutch system; nobody meets anybody twice. Where no
    such pairing is left for all, or none is found soon, some sit out for one half.
    """
    order = [entrant for tier in table.swiss_tiers() for entrant in tier]
    bye = max(order, key=lambda entrant: (-table.free.get(entrant, 0.0), order.index(entrant))) if len(order) % 2 else None
    playing = [entrant for entrant in order if entrant != bye]
    pairs = _Matching(table, playing).found()
    paired = {entrant for pair in pairs for entrant in pair}
    return pairs, {entrant: 1.0 if entrant == bye else 0.5 for entrant in order if entrant not in paired}


class _Matching:
    """Depth-first: the highest entrant takes the opponent it should have, the next best one where that leaves others alone."""

    def __init__(self, table: Table, playing: Sequence[int]) -> None:
        self._playing, self._left = playing, _PATIENCE
        self._wishes = {entrant: _rivals(table, playing, place) for place, entrant in enumerate(playing)}

    def found(self) -> list[Pair]:
        pairs = self._complete(list(self._playing))
        return self._greedy() if pairs is None else pairs

    def _complete(self, open_: Sequence[int]) -> list[Pair] | None:
        if not open_:
            return []
        first = open_[0]
        for rival in self._wishes[first]:
            if rival in open_ and self._left > 0:
                self._left -= 1
                rest = self._complete([entrant for entrant in open_ if entrant not in (first, rival)])
                if rest is not None:
                    return [(first, rival), *rest]
        return None

    def _greedy(self) -> list[Pair]:
        pairs: list[Pair] = []
        taken: set[int] = set()
        for first in self._playing:
            rival = next((entrant for entrant in self._wishes[first] if entrant not in taken), None)
            if first not in taken and rival is not None:
                taken |= {first, rival}
                pairs.append((first, rival))
        return pairs


def _rivals(table: Table, playing: Sequence[int], place: int) -> list[int]:
    """Those below in the order that the entrant has not met: its own group of points, from the middle on, then the groups below."""
    points = {entrant: table.points(entrant) for entrant in playing}
    first, below = playing[place], playing[place + 1 :]
    equals = sum(points[entrant] == points[first] for entrant in below)
    order = sorted(range(len(below)), key=lambda i: (points[first] - points[below[i]], abs(i - equals // 2)))
    return [below[i] for i in order if not table.met(first, below[i])]
