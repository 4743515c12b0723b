"""The noise that tokens are drawn with: a pure function of a seed, a position and a token's id, the same on every device.

Each number is a hash of its own rather than the next of a generator's stream, so that only those that can matter are made.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ids = NDArray[np.uint32]
Key = tuple[int, int]
"""Two 32-bit words, which make the noise of one row."""
UNIT = 2.0**-32
_GOLDEN = 0x9E3779B9
_MIX = (0x7FEB352D, 0x846CA68B)
"""Multipliers of a 32-bit mixer with little bias: C. Wellons, "Prospecting for Hash Functions", 2018."""
_SHIFTS = (16, 15, 16)
_MASK = 2**64 - 1


class Noise:
    """The noise of one choice."""

    def __init__(self, seed: int) -> None:
        self._seed = _mixed(seed & _MASK)

    def key(self, position: int) -> Key:
        """For the token at `position` of the completion."""
        word = _mixed(self._seed + position & _MASK)
        return word >> 32, word & 0xFFFFFFFF


def hashed(ids: Ids, key: Key) -> Ids:
    """A uniform number of 32 bits for each of the ids, of any shape."""
    return _hashed(ids * np.uint32(_GOLDEN), key)


def hashed_all(vocab: int, key: Key) -> Ids:
    """`hashed` of all ids below `vocab`: [vocab]."""
    return _hashed(_spread(vocab).copy(), key)


def exponential(hashes: Ids) -> NDArray[np.float64]:
    """Exp(1) variables E, each at least (hash + 1/2) / 2**32."""
    return -np.log1p((hashes.astype(np.float64) + 0.5) * -UNIT)


def log_exponential(vocab: int, keys: list[Key], device: torch.device) -> Tensor:
    """log E, [keys, vocab] in float32, of all ids; made on the device, where copying would take longer than making."""
    words = torch.from_numpy(np.array(keys, dtype=np.uint32).view(np.int32)).to(device)
    x = torch.from_numpy(_spread(vocab).view(np.int32)).to(device) + words[:, :1]
    for shift, factor in zip(_SHIFTS, _MIX, strict=False):
        x ^= _shifted(x, shift)
        if shift == _SHIFTS[1]:
            x ^= words[:, 1:]
        x *= factor - 2**32 if factor >= 2**31 else factor
    x ^= _shifted(x, _SHIFTS[2])
    uniform = torch.where(x < 0, x.double() + 2**32, x.double()).add_(0.5).mul_(UNIT)
    return uniform.neg_().log1p_().neg_().log_().float()


def _hashed(x: Ids, key: Key) -> Ids:
    """In place; `x` is the ids times the golden ratio, which spreads neighbours."""
    first, second = np.uint32(key[0]), np.uint32(key[1])
    x += first
    y = x >> np.uint32(_SHIFTS[0])
    x ^= y
    x *= np.uint32(_MIX[0])
    np.right_shift(x, np.uint32(_SHIFTS[1]), out=y)
    x ^= y
    x ^= second
    x *= np.uint32(_MIX[1])
    np.right_shift(x, np.uint32(_SHIFTS[2]), out=y)
    x ^= y
    return x


def _shifted(x: Tensor, by: int) -> Tensor:
    """To the right, zeros coming in."""
    shifted: Tensor = (x >> by) & (2 ** (32 - by) - 1)
    return shifted


@lru_cache(maxsize=4)
def _spread(vocab: int) -> Ids:
    return np.arange(vocab, dtype=np.uint32) * np.uint32(_GOLDEN)


def _mixed(word: int) -> int:
    """One step of SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, "Fast Splittable Pseudorandom Number Generators", 2014)."""
    word = (word + 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
