"""Operations with a backward pass of their own, which keep less for it and take fewer steps than torch's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import rms_norm, silu

_LAYER_NORM = torch.ops.aten.native_layer_norm
_LAYER_NORM_BACK = torch.ops.aten.native_layer_norm_backward


class _Norm(Function):
    """On the CPU torch makes an RMS norm of nine operations. The layer norm of (x, -x), whose mean is 0 and whose variance is the
    mean square of x, is one, computes in float32 inside, and has a backward pass that is one as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        size = x.shape[-1]
        twice = torch.cat((weight, weight))
        out, mean, rstd = _LAYER_NORM(torch.cat((x, -x), -1), [2 * size], twice, None, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        return out[..., :size].contiguous()  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, mean, rstd = ctx.saved_tensors
        size, wanted = x.shape[-1], ctx.needs_input_grad[1]
        both, above = torch.cat((x, -x), -1), torch.cat((grad, torch.zeros_like(grad)), -1)
        twice = torch.cat((weight, weight))
        back, of_weight, _ = _LAYER_NORM_BACK(above, both, [2 * size], mean, rstd, twice, None, [True, wanted, False])
        return back[..., :size] - back[..., size:], of_weight[:size] if wanted else None, None


def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    if x.device.type != "cpu":
        return rms_norm(x, (x.shape[-1],), weight, eps)
    return _Norm.apply(x, weight, eps)  # type: ignore[no-any-return, no-untyped-call]


class _Gated(Function):
    """Keeps gate and up, and computes silu(gate) again."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), silu(gate).mul_(grad)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up, elementwise (Shazeer 2020, arXiv:2002.05202)."""
    return _Gated.apply(gate, up)  # type: ignore[no-any-return, no-untyped-call]


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    swapped = x.view(*x.shape[:-1], 2, -1).flip(-2).view(x.shape)
    return torch.addcmul(x * cos, swapped, sin)


class _Rotated(Function):
    """The gradient is turned back by the same angle: nothing of x is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotate(x.contiguous(), cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotate(grad.contiguous(), cos, -sin), None, None


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding (Su et al. 2021, arXiv:2104.09864) of x [tokens, heads, size].

    cos, sin: [tokens, 1, size], both halves alike but for the sign of sin, which is negative in the first half.
    """
    return _Rotated.apply(x, cos, sin)  # type: ignore[no-any-return, no-untyped-call]
