"""Token sequences side by side in one row of tokens, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..packing import TokenSequence

SHORT = 64
"""Sequences up to this long share an attention call, whatever their lengths: a call costs more than the padding."""
ALIKE = 0.75
"""Longer ones share a call with those down to this share of their length."""


def bucket(rows: int) -> int:
    """The number of rows that so many are filled up to: oneDNN keeps code of its own for every number that it has seen."""
    step = 1 if rows <= 8 else 8 if rows <= 64 else 64
    return -(-rows // step) * step


def filled(values: Tensor) -> Tensor:
    """`values` with zeros behind them, up to the bucket's size along the first dimension."""
    missing = bucket(len(values)) - len(values)
    return torch.cat((values, values.new_zeros(missing, *values.shape[1:]))) if missing else values


@dataclass(frozen=True)
class Group:
    """Neighbouring sequences whose attention is one call: `size` of them, filled up to `length` at their ends."""

    rows: int
    size: int
    length: int
    gather: Tensor | None = None
    """[size * length]: the row within the group at each place; None where all have the same length."""
    scatter: Tensor | None = None
    """[rows]: the place of each row."""


@dataclass(frozen=True)
class Packed:
    """Sequences after one another, the longest first. Targets are in the order in which the sequences were given."""

    ids: Tensor
    """[tokens]"""
    positions: Tensor
    """[tokens]: within the token's own sequence."""
    groups: tuple[Group, ...]
    rows: Tensor
    """[targets]: the token whose hidden state predicts the target, which is the one before it."""
    labels: Tensor
    """[targets]: the target's id."""
    weights: Tensor
    """[targets], float32: of its sequence."""
    counts: tuple[int, ...]
    """Targets of each sequence, as given: `scores.logprobs.split(batch.counts)` are those of each."""
    tokens: int
    """Of the sequences; `ids` and `positions` may be longer, filled up with zeros that nothing attends to."""
    even: bool = False
    """Whether rows are filled up to one of few sizes wherever they are multiplied."""

    @property
    def fill(self) -> int:
        return len(self.ids) - self.tokens

    @classmethod
    def of(cls, sequences: Sequence[TokenSequence], device: torch.device | str = "cpu", *, even: bool = False) -> Packed:
        """Pack them all. With `even`, fill up to one of few sizes. Raises `ValueError` for an empty sequence, or for none."""
        if not sequences or any(not len(sequence.ids) for sequence in sequences):
            raise ValueError("there is nothing to pack: no sequence, or an empty one")
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i].ids))
        lengths = [len(sequences[i].ids) for i in order]
        begins, starts = [0], [0] * len(sequences)
        for place, length in zip(order, lengths, strict=True):
            starts[place] = begins[-1]
            begins.append(begins[-1] + length)
        places = [sequence.places() for sequence in sequences]
        fill = bucket(begins[-1]) - begins[-1] if even else 0

        def long(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        return cls(
            ids=long([token for i in order for token in sequences[i].ids] + [0] * fill),
            positions=torch.cat([*(torch.arange(length) for length in lengths), torch.zeros(fill, dtype=torch.long)]).to(device),
            groups=tuple(_group(some, device) for some in _alike(lengths)),
            rows=long([start + p - 1 for start, own in zip(starts, places, strict=True) for p in own]),
            labels=long([sequence.ids[p] for sequence, own in zip(sequences, places, strict=True) for p in own]),
            weights=torch.tensor([s.weight for s, own in zip(sequences, places, strict=True) for _ in own], device=device),
            counts=tuple(len(own) for own in places),
            tokens=begins[-1],
            even=even,
        )


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Descending lengths, cut into runs whose attention is worth a call of its own."""
    runs: list[list[int]] = []
    for length in lengths:
        if runs and (runs[-1][0] <= SHORT or length >= ALIKE * runs[-1][0]):
            runs[-1].append(length)
        else:
            runs.append([length])
    return runs


def _group(lengths: list[int], device: torch.device | str) -> Group:
    length, total = lengths[0], sum(lengths)
    if lengths[-1] == length:
        return Group(total, len(lengths), length)
    places = torch.arange(length)
    kept = places < torch.tensor(lengths).unsqueeze(1)
    scatter = kept.flatten().nonzero().squeeze(1)
    gather = torch.zeros(len(lengths) * length, dtype=torch.long)  # what fills up is a copy of some row, which nobody looks at
    gather[scatter] = torch.arange(total)
    return Group(total, len(lengths), length, gather.to(device), scatter.to(device))
