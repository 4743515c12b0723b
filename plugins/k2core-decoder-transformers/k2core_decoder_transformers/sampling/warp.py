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


def warped(logits: Tensor, warps: Sequence[Warp]) -> Tensor:
    """Scores of shape [rows, vocab] in float32, -inf outside the kept set, of `logits` of that shape; one warp a row.

    A greedy row keeps its first largest logit only. `logits` are not changed; they are returned as they are where nothing is to do.
    """
    scores = logits.float()
    rows = [row for row, warp in enumerate(warps) if warp.temperature not in (0, 1)]
    if rows:
        heat = torch.tensor([warp.temperature or 1.0 for warp in warps], dtype=torch.float32, device=scores.device)
        scores = scores / heat[:, None]
    cut = [row for row, warp in enumerate(warps) if warp.greedy or warp.top_k > 0 or warp.top_p < 1 or warp.min_p > 0]
    if not cut:
        return scores
    if scores is logits or scores.data_ptr() == logits.data_ptr():
        scores = scores.clone()
    greedy = [row for row in cut if warps[row].greedy]
    if greedy:
        _keep_best(scores, greedy)
    for row in cut:
        if not warps[row].greedy:
            _cut(scores[row], warps[row])
    return scores


def _keep_best(scores: Tensor, rows: list[int]) -> None:
    """Leave the largest of each row: its score becomes 0, all others -inf."""
    at = torch.tensor(rows, device=scores.device)
    best = scores[at].argmax(-1)
    scores[at] = -math.inf
    scores[at, best] = 0.0


def _cut(row: Tensor, warp: Warp) -> None:
    """Set to -inf, in place, what one row does not keep."""
    bound = row.new_tensor(-math.inf)
    if 0 < warp.top_k < row.numel():
        bound = row.topk(warp.top_k).values[-1]
        row.masked_fill_(row < bound, -math.inf)
    if warp.top_p < 1:
        bound = torch.maximum(bound, _nucleus(row, warp.top_p))
    if warp.min_p > 0:
        bound = torch.maximum(bound, row.max() + math.log(warp.min_p))
    row.masked_fill_(row < bound, -math.inf)


def _nucleus(row: Tensor, top_p: float) -> Tensor:
    """The smallest score in the nucleus: a token belongs to it where the mass of the likelier ones is below `top_p`.

    Only tokens near the likeliest are sorted, if they hold enough mass; those below the last drop hold less than 1 - top_p.
    """
    top, total = row.max(), row.logsumexp(0)
    for drop in (*_DROPS, math.log(row.numel() / max(1 - top_p, 1e-12)) + 1, math.inf):
        best = _falling(row[row >= top - drop])
        mass = (best - total).exp().double().cumsum(0)
        if float(mass[-1]) >= top_p + _ROUNDING or drop == math.inf:
            break
    inside = 1 + int((mass[:-1] < top_p).sum())
    return best[inside - 1]


def _falling(scores: Tensor) -> Tensor:
    """Sorted from the largest; numpy's sort is several times as fast as torch's on the CPU."""
    if scores.is_cuda:
        return scores.sort(descending=True).values
    return torch.from_numpy(np.sort(scores.numpy())[::-1].copy())
