"""Token sequences, and how they share a row of tokens without padding. No torch in here."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Tokens of one sample, and which of them the model is to predict from those before."""

    ids: Sequence[int]
    targets: Sequence[bool] | slice
    """By token, or as a slice over the tokens: whether it is predicted. The first token never is, as nothing comes before it."""
    weight: float = 1.0
    """Of each of its targets in a loss."""

    def places(self) -> Sequence[int]:
        """The positions of the targets, ascending, from 1 on."""
        if isinstance(self.targets, slice):
            chosen = range(len(self.ids))[self.targets]
            return chosen[1:] if chosen and chosen[0] == 0 else chosen
        return [place for place, wanted in enumerate(self.targets) if wanted and place]


def pack(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Bins of at most `max_tokens` tokens, each a list of indices into `lengths`: best-fit decreasing, ties in order.

    Each bin's indices ascend, and the bins are in the order of their first index, so the same lengths give the same bins.
    Raises `ValueError` for a sequence that is longer than a bin.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    if order and lengths[order[0]] > max_tokens:
        raise ValueError(f"sequence {order[0]} has {lengths[order[0]]:,} tokens; only {max_tokens:,} are packed together")
    bins: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # room left and bin, sorted: the tightest bin that fits is found by bisection
    for index in order:
        length = lengths[index]
        at = bisect_left(rooms, (length, -1))
        room, place = rooms.pop(at) if at < len(rooms) else (max_tokens, len(bins))
        if place == len(bins):
            bins.append([])
        bins[place].append(index)
        insort(rooms, (room - length, place))
    return sorted(sorted(members) for members in bins)
