"""The exponential race that draws tokens, and its noise: a pure function of a seed and a position.

With E_i independent and exponential, the i that minimises E_i / p_i has probability p_i; in logarithms, argmax(log p_i - log E_i)
(the Gumbel-max trick; Maddison, Tarlow and Minka, "A* Sampling", 2014).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_KEPT = 64
_LEAST = np.float32(1e-37)


class Noise:
    """The noise of one choice. Rows depend on the seed, the position and the size of the vocabulary only."""

    def __init__(self, seed: int, vocab: int) -> None:
        self._seed, self._vocab = seed & (2**64 - 1), vocab
        self._rows: dict[int, Tensor] = {}

    def row(self, position: int) -> Tensor:
        """Exp(1) noise of shape [vocab], float32, on the CPU, for the token at `position` of the completion. Not to be changed."""
        if (row := self._rows.get(position)) is None:
            row = self._rows[position] = self._made(position)
            if len(self._rows) > _KEPT:
                del self._rows[next(iter(self._rows))]
        return row

    def forget(self, before: int) -> None:
        """Drop the kept rows of positions below `before`."""
        for position in [p for p in self._rows if p < before]:
            del self._rows[position]

    def _made(self, position: int) -> Tensor:
        """Drawn in float64: float32's ziggurat has steps of 1e-7 near 0, and small values decide about unlikely tokens."""
        generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence([self._seed, position])))
        row = generator.standard_exponential(self._vocab).astype(np.float32)
        return torch.from_numpy(np.maximum(row, _LEAST, out=row))


def draw(scores: Tensor, noise: Tensor) -> Tensor:
    """The tokens that win the race: [rows] int64, of scores (unnormalised logarithms) and Exp(1) noise, both [rows, vocab]."""
    return (scores - noise.log()).argmax(-1)
