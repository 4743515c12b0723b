"""Draw tokens by an exponential race.

With E_i independent and exponential, the i that minimises E_i / p_i has probability p_i; in logarithms, argmax(log p_i - log E_i)
(the Gumbel-max trick; Maddison, Tarlow and Minka, "A* Sampling", 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .noise import UNIT, Key, exponential, hashed, hashed_all, log_exponential
from .warp import Warp, kept, warped

Floats = NDArray[np.float32]
NONE = -1
"""In place of a token, for a row whose scores are no numbers (NaN)."""
_HEAD = 6.0
"""How far below the likeliest the tokens are that race first, in natural logarithms."""


def draw(logits: Tensor, warps: Sequence[Warp], keys: Sequence[Key]) -> list[int]:
    """A token for each row of `logits` [rows, vocab], as its warp samples, with the noise of its key.

    A row's token does not depend on the other rows; it is `NONE` where the scores are no numbers. `logits` are not changed.
    """
    if logits.is_cuda:
        return draw_together(logits, warps, keys)
    rows = logits.float().numpy()
    return [_one(row, warp, key) for row, warp, key in zip(rows, warps, keys, strict=True)]


def draw_together(logits: Tensor, warps: Sequence[Warp], keys: Sequence[Key]) -> list[int]:
    """`draw`, by operations on all rows at once: many small ones would keep a GPU waiting."""
    if all(warp.greedy for warp in warps):
        best = logits.argmax(-1)
    else:
        best = (warped(logits, warps) - log_exponential(logits.shape[1], list(keys), logits.device)).argmax(-1)
    broken = logits.gather(1, best.unsqueeze(1)).squeeze(1).isnan()
    drawn: list[int] = best.masked_fill(broken, NONE).tolist()
    return drawn


def _one(logits: Floats, warp: Warp, key: Key) -> int:
    best = int(logits.argmax())
    if math.isnan(logits[best]):
        return NONE
    if warp.greedy:
        return best
    scores = logits if warp.temperature == 1 else logits / np.float32(warp.temperature)
    if warp.cuts:
        ids = kept(scores, warp)
        return _race(scores, ids, key)[0] if len(ids) > 1 else int(ids[0])
    return _open(scores, scores[best], key)


def _race(scores: Floats, ids: NDArray[np.intp], key: Key) -> tuple[int, float]:
    """The winner among the ids, and how far it came."""
    reached = scores[ids].astype(np.float64) - np.log(exponential(hashed(ids.astype(np.uint32), key)))
    best = int(reached.argmax())
    return int(ids[best]), float(reached[best])


def _open(scores: Floats, top: np.float32, key: Key) -> int:
    """The race of all tokens, of which the best has the score `top`. The likely ones first: of the others only those can win whose
    noise is small enough.

    Their scores lie more than `_HEAD` below the best one, and -log E is at most -log of the uniform number, as E >= that.
    """
    border = top - np.float32(_HEAD)
    token, reached = _race(scores, np.flatnonzero(scores >= border), key)
    least = math.exp(min(float(border) - reached, 0.0)) / UNIT
    hopeful = np.flatnonzero(hashed_all(len(scores), key) <= np.uint32(min(least, 2**32 - 1)))
    if not len(hopeful):
        return token
    other, farther = _race(scores, hopeful, key)
    return other if farther > reached else token
