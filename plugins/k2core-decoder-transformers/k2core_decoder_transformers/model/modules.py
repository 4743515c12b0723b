"""Any other causal language model: transformers' own modules, with attention replaced by one that reads and writes our cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from .batch import Batch, Rows, Segment, attend, grouped, ungrouped, views
from .cache import Cache

NAME = "k2core_rows"
_current = threading.local()


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, scaling: float | None = None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: [1, heads, rows, size] each; [1, rows, heads, size] back."""
    batch: Batch = _current.batch
    q, k, v = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
    size = max(k.shape[2], v.shape[2])
    rows = torch.cat([part if part.shape[2] == size else pad(part, (0, size - part.shape[2])) for part in (k, v)], dim=1)
    held = batch.cache.write(module.layer_idx, batch.places(rows.shape[1]), rows)
    shape = k.shape[1], k.shape[2], v.shape[2]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = options.get("sliding_window") or getattr(module, "sliding_window", None) or 0
    cap, sinks = options.get("softcap"), options.get("s_aux")
    if cap is None and sinks is None:
        out = attend(q.contiguous(), held, shape, batch.segments, scale, window)
    else:
        out = torch.cat([_by_hand(q, held, shape, part, scale, window, cap, sinks) for part in batch.segments])
    return out.view(1, len(q), q.shape[1], shape[2]), None


def _by_hand(
    q: Tensor, held: Tensor, shape: tuple[int, int, int], segment: Segment, scale: float, window: int, cap: float | None, sinks: Any
) -> Tensor:
    """Attention with soft-capped scores or with sinks, which no fused kernel of torch has."""
    k, v = views(held, shape, segment)
    groups = q.shape[1] // shape[0]
    scores = (grouped(q[segment.first : segment.last].contiguous(), shape[0], segment) @ k.transpose(2, 3)).float() * scale
    if cap is not None:
        scores = torch.tanh(scores / cap) * cap
    mask = segment.mask(groups, window, torch.float32)
    scores = scores if mask is None else scores + mask
    if sinks is not None:
        extra = sinks.float().view(1, shape[0], groups, 1).expand(len(scores), -1, -1, segment.width).reshape(*scores.shape[:3], 1)
        scores = torch.cat((scores, extra), dim=-1).softmax(-1)[..., :-1]
    else:
        scores = scores.softmax(-1)
    return ungrouped(scores.to(v.dtype) @ v, segment)


class Modules:
    """Forward pass of any `model` whose attention goes through transformers' interface.

    Raises `ValueError` where it does not, as for state-space models: a small trial against the model's own forward tells.
    """

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface

        AttentionInterface.register(NAME, _attention)
        self.model = model
        reference, usual = self._reference(), model.config._attn_implementation
        try:
            model.set_attn_implementation(NAME)
            self._try(reference)
        except Exception as error:
            model.set_attn_implementation(usual)
            raise ValueError(f"{type(model).__name__} cannot be decoded in batches: {error}") from error

    @torch.no_grad()
    def take(self, array_of: Callable[[Tensor], Tensor]) -> None:
        """Take over other weights: `array_of` a parameter of the model is its new value."""
        for parameter in self.model.parameters():
            parameter.copy_(array_of(parameter))

    def rows(self, count: int) -> int:
        """No more than asked for."""
        return count

    def refresh(self) -> None:
        """Nothing to do: the modules' own weights are used."""

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Tensor:
        """Logits [rows wanted, vocabulary], float32; the cache holds keys and values of all rows afterwards."""
        _current.batch = batch
        try:
            wanted: int | Tensor = 0 if batch.wanted is None else batch.wanted
            out = self.model(
                input_ids=batch.ids.unsqueeze(0),
                position_ids=batch.positions.unsqueeze(0),
                use_cache=False,
                logits_to_keep=wanted,
            )
        finally:
            del _current.batch
        return out.logits.squeeze(0).float()  # type: ignore[no-any-return] # transformers' outputs are untyped

    def _ids(self) -> list[list[int]]:
        size = int(self.model.config.get_text_config().vocab_size)
        return [[(7 * i + 3) % size for i in range(6)], [(5 * i + 1) % size for i in range(3)]]

    @torch.inference_mode()
    def _reference(self) -> list[Tensor]:
        device = next(self.model.parameters()).device
        return [self.model(torch.tensor([ids], device=device), use_cache=False).logits[0, -1].float() for ids in self._ids()]

    def _try(self, reference: list[Tensor]) -> None:
        """Two sequences, the first in two parts, against the model's own answers; measures a token's bytes in the cache too."""
        parameter = next(self.model.parameters())
        cache, (long, short) = Cache(parameter.device, parameter.dtype), self._ids()
        cache.fit(2, len(long))
        self(Batch([Rows(0, 0, long[:4], 1)], cache))
        mine = self(Batch([Rows(0, 4, long[4:], 1), Rows(1, 0, short, 1)], cache))
        self.token_bytes = cache.token_bytes
        if not cache.layers:
            raise ValueError("its attention does not go through transformers' interface")
        tolerance = 1e-3 if parameter.dtype == torch.float32 else 0.05
        for got, expected in zip(mine, reference, strict=True):
            if (got - expected).abs().max() > tolerance * (1 + expected.abs().max()):
                raise ValueError("it keeps state elsewhere than in keys and values")
