"""Forward Kullback-Leibler divergence to a target over a large vocabulary, in parts: the scores of a few rows at a time."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import linear

PART = 32 << 20
"""Bytes of float32 scores that are there at once."""


class Aim(Protocol):
    """What is to be learnt at each row."""

    def part(self, rows: slice) -> tuple[Tensor | None, Tensor]:
        """Tokens [rows, k] and their probabilities [rows, k], which sum to one; or None and those of all tokens."""
        ...


class Top(NamedTuple):
    """The likeliest tokens of the target, with probabilities that sum to one over them."""

    ids: Tensor
    probs: Tensor

    def part(self, rows: slice) -> tuple[Tensor | None, Tensor]:
        return self.ids[rows].long(), self.probs[rows].float()


class Whole(NamedTuple):
    """The target's whole distribution, from its hidden states [rows, width] and head [vocabulary, width]."""

    hidden: Tensor
    weight: Tensor

    def part(self, rows: slice) -> tuple[Tensor | None, Tensor]:
        return None, linear(self.hidden[rows], self.weight).float().softmax(-1)


class _Divergence(Function):
    """Its gradient with respect to the scores is q - p, known while they are there: so they are made once."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, aim: Aim, scale: float, grads_too: bool) -> Tensor:
        step = max(1, PART // (4 * len(weight)))
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight) if grads_too else None
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        for at in range(0, len(hidden), step):
            rows = slice(at, at + step)
            logq = linear(hidden[rows], weight).float().log_softmax(-1)
            ids, p = aim.part(rows)
            mine = logq if ids is None else logq.gather(1, ids)
            total += torch.special.xlogy(p, p).sum() - (p * mine).sum()
            if of_weight is not None:
                d = logq.exp_()
                d = d.sub_(p) if ids is None else d.scatter_add_(1, ids, -p)
                d *= scale
                of_hidden[rows] = d @ weight
                of_weight += d.t() @ hidden[rows]
        ctx.grads = (of_hidden, of_weight) if grads_too else None
        return (total * scale).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        grads, ctx.grads = ctx.grads, None
        if grads is None:
            raise RuntimeError("the gradient of this loss can be asked for once only")
        return grads[0] * grad, grads[1] * grad, None, None, None


def divergence(hidden: Tensor, weight: Tensor, aim: Aim, scale: float) -> Tensor:
    """scale · Σ over rows of KL(p ‖ q), q = softmax(hidden weightᵀ), in nats; its gradient can be asked for once.

    hidden [rows, width], weight [vocabulary, width]. Forward KL, as in Hinton, Vinyals and Dean
    2015 (arXiv:1503.02531) at temperature 1.
    """
    return _Divergence.apply(hidden, weight, aim, scale, torch.is_grad_enabled())  # type: ignore[no-any-return,no-untyped-call]
