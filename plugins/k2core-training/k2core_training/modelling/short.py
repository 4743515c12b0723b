"""Attention of short sequences on the CPU: a few products of matrices, where torch's fused kernel is slow in its backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

MOST = {torch.bfloat16: 384, torch.float32: 32}
"""Longest sequences, by precision, for which this is faster forwards and backwards together."""


def pays(q: Tensor, length: int) -> bool:
    """Whether to compute it here."""
    return q.device.type == "cpu" and length <= MOST.get(q.dtype, 0)


def attend(q: Tensor, k: Tensor, v: Tensor, shape: tuple[int, int], scale: float) -> Tensor:
    """Causal attention of `shape` = (sequences, length); q [tokens, heads, size], k and v [tokens, key heads, size].

    The heads that share keys are rows of one product, so keys are not repeated. [tokens, heads, size] back.
    """
    (count, length), heads, shared = shape, q.shape[1], k.shape[1]
    grouped = q.view(count, length, shared, heads // shared, -1).permute(0, 2, 3, 1, 4).reshape(count, shared, -1, q.shape[2])
    keys, values = (part.view(count, length, shared, -1).transpose(1, 2).contiguous() for part in (k, v))
    hidden = torch.full((length, length), -torch.inf, device=q.device).triu_(1)
    out = _Attention.apply(grouped, keys, values, scale, hidden)  # type: ignore[no-untyped-call]
    return out.view(count, shared, heads // shared, length, -1).permute(0, 3, 1, 2, 4).reshape(count * length, heads, -1)  # type: ignore[no-any-return]


def _shares(q: Tensor, k: Tensor, scale: float, hidden: Tensor) -> Tensor:
    """Softmax of the scores, float32: [sequences, key heads, group * length, length]."""
    scores = (q @ k.transpose(2, 3)).float().mul_(scale)
    scores.view(*scores.shape[:2], -1, *hidden.shape).add_(hidden)
    return scores.softmax(-1)


class _Attention(Function):
    """Keeps what goes in and comes out; the shares are computed again for the backward pass, as they are as large as length²."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, hidden: Tensor) -> Tensor:
        out = _shares(q, k, scale, hidden).to(q.dtype) @ v
        ctx.save_for_backward(q, k, v, out, hidden)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, hidden = ctx.saved_tensors
        shares = _shares(q, k, ctx.scale, hidden)
        of_v = shares.to(q.dtype).transpose(2, 3) @ grad
        of_shares = (grad @ v.transpose(2, 3)).float().sub_((grad.float() * out).sum(-1, keepdim=True))
        of_scores = of_shares.mul_(shares).mul_(ctx.scale).to(q.dtype)
        return of_scores @ k, of_scores.transpose(2, 3) @ q, of_v, None, None
