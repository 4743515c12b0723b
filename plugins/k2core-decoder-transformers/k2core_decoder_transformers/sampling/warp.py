"""What temperature, top-k, top-p and min-p make of a model's scores, in that order.

The kept sets are those of transformers' warpers; tokens that tie with the last one kept are kept too, so that the result does not
depend on how a sort breaks ties. A JSON schema's mask belongs on the logits *before* they are warped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_DROPS = (4.0, 8.0)
"""How far below the likeliest top-p looks at first, in natural logarithms; most nuclei end there."""
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Warp:
    """How one sequence samples. `temperature` 0 is greedy; `top_k` 0, `top_p` 1 and `min_p` 0 cut nothing."""

    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    @property
    def cuts(self) -> bool:
        """Whether it may leave tokens out."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


def warped(logits: Tensor, warps: Sequence[Warp]) -> Tensor:
    """Scores of shape [rows, vocab] in float32, -inf outside the kept set, of `logits` of that shape; one warp a row.

    A greedy row keeps its first largest logit only. `logits` are not changed; they are returned as they are where nothing is to do.
    """
    scores = logits.float()
    if any(warp.temperature not in (0, 1) for warp in warps):
        scores = scores / _column([warp.temperature or 1.0 for warp in warps], scores)
    cut = [row for row, warp in enumerate(warps) if warp.greedy or warp.cuts]
    if not cut:
        return scores
    if scores is logits or scores.data_ptr() == logits.data_ptr():
        scores = scores.clone()
    if greedy := [row for row in cut if warps[row].greedy]:
        _keep_best(scores, greedy)
    if rest := [row for row in cut if not warps[row].greedy]:
        at = torch.tensor(rest, device=scores.device)
        part, some = scores[at], [warps[row] for row in rest]
        scores[at] = part.masked_fill_(part < _bounds(part, some), -math.inf)
    return scores


def kept(scores: NDArray[np.float32], warp: Warp) -> NDArray[np.intp]:
    """The ids, ascending, that a warp keeps of one row of scores, [vocab], which its temperature has divided already."""
    bound = np.float32(-np.inf)
    if 0 < warp.top_k < len(scores):
        bound = np.partition(scores, -warp.top_k)[-warp.top_k]
    if warp.top_p < 1:
        bound = max(bound, _nucleus(scores if bound == -np.inf else scores[scores >= bound], warp.top_p))
    if warp.min_p > 0:
        bound = max(bound, scores.max() + np.float32(math.log(warp.min_p)))
    return np.flatnonzero(scores >= bound)


def _keep_best(scores: Tensor, rows: list[int]) -> None:
    """Leave the largest of each row: its score becomes 0, all others -inf."""
    at = torch.tensor(rows, device=scores.device)
    best = scores[at].argmax(-1)
    scores[at] = -math.inf
    scores[at, best] = 0.0


def _bounds(scores: Tensor, warps: Sequence[Warp]) -> Tensor:
    """The least score that each row keeps, [rows, 1], by sorting all of them."""
    falling = scores.sort(descending=True).values
    width = falling.shape[1]
    counts = _column([min(warp.top_k, width) if warp.top_k > 0 else width for warp in warps], scores).long()
    places = torch.arange(width, device=scores.device)
    bound = falling.gather(1, counts - 1)
    falling = falling.masked_fill(falling < bound, -math.inf)
    before = falling.softmax(-1, dtype=torch.float64).cumsum(-1).roll(1, -1).masked_fill_(places == 0, 0.0)
    top_p = _column([warp.top_p if warp.top_p < 1 else math.inf for warp in warps], scores).double()
    inside = (before < top_p).sum(-1, keepdim=True).clamp_(min=1)
    bound = torch.maximum(bound, falling.gather(1, inside - 1))
    least = [math.log(warp.min_p) if warp.min_p > 0 else -math.inf for warp in warps]
    return torch.maximum(bound, falling[:, :1] + _column(least, scores))


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]


def _nucleus(scores: NDArray[np.float32], top_p: float) -> np.float32:
    """The smallest score in the nucleus: a token belongs to it where the mass of the likelier ones is below `top_p`.

    Only tokens near the likeliest are sorted, if they hold enough mass; those below the last drop hold less than 1 - top_p.
    """
    top = scores.max()
    total = float(np.exp(scores - top).sum(dtype=np.float64))
    for drop in (*_DROPS, math.log(len(scores) / max(1 - top_p, 1e-12)) + 1, math.inf):
        best = np.sort(scores[scores >= top - np.float32(drop)])[::-1]
        mass = np.cumsum(np.exp(best - top), dtype=np.float64) / total
        if mass[-1] >= top_p + _ROUNDING or drop == math.inf:
            break
    inside = 1 + int((mass[:-1] < top_p).sum())
    return np.float32(best[inside - 1])
