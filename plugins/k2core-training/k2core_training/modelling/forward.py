"""The hidden states of packed sequences: our own pass for Llama-like models, transformers' modules for all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import NAME, attend, register
from .functions import gated, normed, rotated
from .packed import Packed, filled


class Forward(Protocol):
    """[targets, width]: the normalised hidden states of `batch.rows`."""

    def __call__(self, batch: Packed) -> Tensor: ...


def forward_for(model: Any, checkpointing: bool) -> Forward:
    """The pass for a model. It looks up the model's layers at each call, so adapters may be put into them afterwards."""
    from k2core_decoder_transformers.model.fused import fits

    return LlamaLike(model, checkpointing) if fits(model) else Modules(model, checkpointing)


class LlamaLike:
    """Llama, Mistral, Qwen2, Qwen3: few operations a layer, and in the last one only what the targets need."""

    def __init__(self, model: Any, checkpointing: bool) -> None:
        config, self._inner, self._checkpointing = model.config, model.model, checkpointing
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._size = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._eps, self._scale = config.rms_norm_eps, self._size**-0.5
        whole = type(model).__name__ == "MistralForCausalLM"  # its window is an argument there, no attribute of the layer
        self._windows = [
            (config.sliding_window if whole else getattr(layer.self_attn, "sliding_window", None)) or 0
            for layer in self._inner.layers
        ]

    def __call__(self, batch: Packed) -> Tensor:
        x = self._inner.embed_tokens(batch.ids)
        cos, sin = (part.squeeze(0).unsqueeze(1) for part in self._inner.rotary_emb(x, batch.positions.unsqueeze(0)))
        half = self._size // 2
        sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        last, targets = len(self._inner.layers) - 1, len(batch.rows)
        wanted = filled(batch.rows) if batch.even else batch.rows
        for number, layer in enumerate(self._inner.layers):
            rows, window = wanted if number == last else None, self._windows[number]
            if self._checkpointing and torch.is_grad_enabled():
                x = checkpoint(self._layer, layer, x, cos, sin, batch, window, rows, use_reentrant=False, preserve_rng_state=False)
            else:
                x = self._layer(layer, x, cos, sin, batch, window, rows)
        return normed(x, self._inner.norm.weight, self._eps)[:targets]

    def _layer(self, layer: Any, x: Tensor, cos: Tensor, sin: Tensor, batch: Packed, window: int, rows: Tensor | None) -> Tensor:
        attention, mlp = layer.self_attn, layer.mlp
        inner = normed(x, layer.input_layernorm.weight, self._eps)
        q = attention.q_proj(inner).view(-1, self._heads, self._size)
        k = attention.k_proj(inner).view(-1, self._kv_heads, self._size)
        v = attention.v_proj(inner).view(-1, self._kv_heads, self._size)
        if getattr(attention, "q_norm", None) is not None:
            q, k = normed(q, attention.q_norm.weight, self._eps), normed(k, attention.k_norm.weight, self._eps)
        mixed = attend(rotated(q, cos, sin), rotated(k, cos, sin), v, batch, self._scale, window)
        if rows is not None:
            mixed, x = mixed.index_select(0, rows), x.index_select(0, rows)
        x = x + attention.o_proj(mixed.flatten(1))
        inner = normed(x, layer.post_attention_layernorm.weight, self._eps)
        return x + mlp.down_proj(gated(mlp.gate_proj(inner), mlp.up_proj(inner)))  # type: ignore[no-any-return]


class Modules:
    """Any causal model whose attention goes through transformers' interface."""

    def __init__(self, model: Any, checkpointing: bool) -> None:
        register()
        model.set_attn_implementation(NAME)
        self._inner = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
        if checkpointing:
            _checkpoint_layers(model)

    def __call__(self, batch: Packed) -> Tensor:
        made = self._inner(
            input_ids=batch.ids.unsqueeze(0), position_ids=batch.positions.unsqueeze(0), use_cache=False, k2core_batch=batch
        )
        return made.last_hidden_state.squeeze(0).index_select(0, batch.rows)  # type: ignore[no-any-return]


def _checkpoint_layers(model: Any) -> None:
    """Layers do it in training mode only, in which we leave them alone: dropout within them stays off."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable  # its older name
    enable({"use_reentrant": False, "preserve_rng_state": False})
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True


def head_of(model: Any) -> nn.Linear:
    """The vocabulary head. Raises `ValueError` where scores are more than a linear function of the hidden state."""
    head = model.get_output_embeddings()
    config = model.config.get_text_config()
    scaled = any(
        getattr(config, name, None) not in (None, 1, 1.0) for name in ("logit_scale", "logits_scaling", "output_multiplier")
    )
    if type(head) is not nn.Linear or scaled or getattr(config, "final_logit_softcapping", None):
        raise ValueError(f"{type(model).__name__} cannot be trained here: its scores are capped, scaled or made by an unusual head")
    return head


def check(model: Any, forward: Forward, reference: Callable[[list[int]], Tensor]) -> None:
    """Try two packed sequences against the model's own answers, `reference(ids)` [tokens, vocabulary], computed before.

    Raises `ValueError` where they differ, as for models that keep state elsewhere than in keys and values.
    """
    from ..packing import TokenSequence

    head, device = head_of(model), next(model.parameters()).device
    sequences = trial(model)
    batch = Packed.of([TokenSequence(ids, slice(0, None)) for ids in sequences], device)
    try:
        with torch.no_grad():
            hidden = forward(batch)
            made = head(hidden).float().split(batch.counts)
    except Exception as error:
        raise ValueError(f"{type(model).__name__} cannot be trained in packed batches: {error}") from error
    tolerance = 1e-3 if head.weight.dtype == torch.float32 else 0.06
    for ids, got in zip(sequences, made, strict=True):
        expected = reference(ids)[:-1]
        if not bool(((got - expected).abs().max() <= tolerance * (1 + expected.abs().max())).item()):
            raise ValueError(f"{type(model).__name__} cannot be trained in packed batches: its sequences see one another")


def trial(model: Any) -> list[list[int]]:
    """Two short sequences of tokens."""
    size = int(model.config.get_text_config().vocab_size)
    return [[(7 * i + 3) % size for i in range(6)], [(5 * i + 1) % size for i in range(4)]]
