"""Causal attention of packed sequences, none of which sees another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from . import short
from .packed import Group, Packed

NAME = "k2core_packed"
"""Under which `register` makes it known to transformers."""


def attend(q: Tensor, k: Tensor, v: Tensor, batch: Packed, scale: float, window: int = 0) -> Tensor:
    """[tokens, heads, size] of queries and [tokens, key heads, size] of keys and values; [tokens, heads, size] back.

    A call a group: equal lengths are a batch, others are filled up at their ends, where causality hides what fills them.
    `window` > 0: a token sees itself and `window - 1` before it.
    """
    if len(batch.groups) == 1 and not batch.fill:
        return _one(q, k, v, batch.groups[0], scale, window)
    cuts = [*(group.rows for group in batch.groups), batch.fill]
    parts = zip(torch.split(q, cuts)[:-1], torch.split(k, cuts), torch.split(v, cuts), batch.groups, strict=False)
    found = [_one(*part, scale, window) for part in parts]
    return torch.cat([*found, q.new_zeros(batch.fill, q.shape[1], v.shape[2])])


def _one(q: Tensor, k: Tensor, v: Tensor, group: Group, scale: float, window: int) -> Tensor:
    shape = (group.size, group.length)
    if group.gather is not None:
        q, k, v = (part.index_select(0, group.gather) for part in (q, k, v))
    if short.pays(q, group.length) and not 0 < window < group.length:
        flat = short.attend(q, k, v, shape, scale)
        return flat if group.scatter is None else flat.index_select(0, group.scatter)
    grouped = q.shape[1] != k.shape[1]
    if grouped and q.device.type == "cpu":  # torch's fused kernel for the CPU wants as many keys as queries
        k, v, grouped = _repeated(k, q.shape[1]), _repeated(v, q.shape[1]), False
    wide, high, deep = (part.view(*shape, *part.shape[1:]).transpose(1, 2) for part in (q, k, v))
    mask = _windowed(group.length, window, q) if 0 < window < group.length else None
    out = scaled_dot_product_attention(wide, high, deep, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped)
    flat = out.transpose(1, 2).reshape(group.size * group.length, q.shape[1], v.shape[2])
    return flat if group.scatter is None else flat.index_select(0, group.scatter)


def _repeated(x: Tensor, heads: int) -> Tensor:
    """Each of the heads of x [tokens, heads, size] several times in a row."""
    return x.unsqueeze(2).expand(-1, -1, heads // x.shape[1], -1).reshape(len(x), heads, -1)


def _windowed(length: int, window: int, like: Tensor) -> Tensor:
    """[length, length]: who sees whom."""
    distance = torch.arange(length, device=like.device).unsqueeze(1) - torch.arange(length, device=like.device)
    return (distance >= 0) & (distance < window)


def register() -> None:
    """Make `for_modules` known to transformers under `NAME`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, for_modules)


def for_modules(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, scaling: float | None = None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: [1, heads, tokens, size] each; [1, tokens, heads, size] back.

    The batch comes through the model's call as `k2core_batch`. Raises `ValueError` for attention that is more than that.
    """
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise ValueError("its attention has capped scores or sinks, which cannot be packed here")
    batch: Packed | None = options.get("k2core_batch")
    if batch is None:
        raise ValueError("its layers do not pass on what attention is told")
    q, k, v = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = options.get("sliding_window") or getattr(module, "sliding_window", None) or 0
    return attend(q, k, v, batch, scale, window).unsqueeze(0), None
