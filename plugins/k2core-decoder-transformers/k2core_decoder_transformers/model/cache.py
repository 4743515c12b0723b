"""Keys and values of the sequences at work: a slot each, side by side, so that attention reads them without copying."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128
"""Tokens by which the slots grow."""


def rounded(tokens: int) -> int:
    """`tokens` in whole blocks."""
    return -(-tokens // BLOCK) * BLOCK


class Cache:
    """A tensor a layer, [slots, parts, capacity, size]: parts are the keys of each key-value head, then the values of each.

    The tokens of a part lie side by side, so that attention streams through them: with those of all heads together it took twice as
    long. Where keys and values have different sizes, the smaller are filled up.

    Tensors are made when a layer is first written, grow a layer at a time, and shrink when `fit` finds half of them idle.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.slots = self.capacity = 0
        self.layers: dict[int, Tensor] = {}

    def fit(self, slots: int, tokens: int) -> None:
        """Room for `slots` sequences of up to `tokens` tokens; what they hold stays. Without any, all memory is freed."""
        if not slots:
            self.layers.clear()
            self.slots = self.capacity = 0
            return
        capacity = rounded(tokens)
        if (
            slots > self.slots
            or 2 * slots + 4 <= self.slots
            or capacity > self.capacity
            or 2 * capacity + 2 * BLOCK <= self.capacity
        ):
            self._resize(slots, capacity)

    def _resize(self, slots: int, capacity: int) -> None:
        kept, length = min(slots, self.slots), min(capacity, self.capacity)
        self.slots, self.capacity = slots, capacity
        for layer, old in list(self.layers.items()):
            new = old.new_zeros(slots, old.shape[1], capacity, old.shape[3])
            new[:kept, :, :length] = old[:kept, :, :length]
            self.layers[layer] = new

    def write(self, layer: int, places: Tensor, rows: Tensor) -> Tensor:
        """Store `rows` [n, parts, size] at `places` [n * parts] = (slot * parts + part) * capacity + position.

        Returns the layer's tensor.
        """
        parts, size = rows.shape[1:]
        held = self._layer(layer, parts, size, rows.dtype)
        held.view(-1, size).index_copy_(0, places, rows.reshape(-1, size))
        return held

    def _layer(self, layer: int, parts: int, size: int, dtype: torch.dtype) -> Tensor:
        held = self.layers.get(layer)
        if held is None:  # zeros, not empty: masked rows are still multiplied, and NaN times 0 is NaN
            held = torch.zeros(self.slots, parts, self.capacity, size, dtype=dtype, device=self.device)
            self.layers[layer] = held
        return held

    def paste(self, layer: int, slot: int, start: int, rows: Tensor) -> None:
        """Store `rows` [parts, n, size] in a slot from position `start` on."""
        self._layer(layer, rows.shape[0], rows.shape[2], rows.dtype)[slot, :, start : start + rows.shape[1]] = rows

    def copy(self, source: int, target: int, tokens: int) -> None:
        """The first `tokens` of one slot into another."""
        for held in self.layers.values():
            held[target, :, :tokens] = held[source, :, :tokens]

    def wipe(self, slot: int) -> None:
        """Zeros, as in a new slot."""
        for held in self.layers.values():
            held[slot].zero_()

    @property
    def nbytes(self) -> int:
        return sum(held.nbytes for held in self.layers.values())

    @property
    def token_bytes(self) -> int:
        """Bytes of one token, over the layers written so far."""
        return sum(held.shape[1] * held.shape[3] * held.element_size() for held in self.layers.values())
