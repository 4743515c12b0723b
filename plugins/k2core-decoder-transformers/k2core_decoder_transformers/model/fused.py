"""The decoder's own forward pass for Llama-like models: few, large operations a layer, weights as oneDNN packs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, pad, rms_norm, silu

from .batch import Batch, attend

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
ROPES = ("default", "linear", "llama3", "yarn")
"""Kinds of rotary embedding whose frequencies do not depend on the length of the text."""
_PACKED_ROWS = 8
"""Rows that packed weights are laid out for; others work as well."""


def fits(model: Any) -> bool:
    """Whether this pass computes what the model computes: architecture, activation, rotary embedding, plain linear layers."""
    if type(model).__name__ not in ARCHITECTURES or model.config.hidden_act != "silu":
        return False
    layer = model.model.layers[0]
    plain = (layer.self_attn.q_proj, layer.self_attn.o_proj, layer.mlp.gate_proj, layer.mlp.down_proj, model.lm_head)
    return model.model.rotary_emb.rope_type in ROPES and all(type(part) is nn.Linear for part in plain)


def padded(x: Tensor, rows: int) -> Tensor:
    """`x` [n, width] or [n] with zeros behind it, [rows, …]."""
    missing = rows - len(x)
    return x if not missing else pad(x, (0, 0) * (x.dim() - 1) + (0, missing))


def bucket(rows: int) -> int:
    """The number of rows that so many are padded to.

    oneDNN keeps code of its own, up to half a megabyte, for every number of rows that a linear layer has seen.
    """
    step = 1 if rows <= 8 else 8 if rows <= 64 else 64
    return -(-rows // step) * step


class Linear:
    """y = x A^T + b over one or several of the model's linear layers, whose weights become views of one tensor.

    On the CPU a copy of the weight as oneDNN packs it does the work; `refresh` makes it again once weights have changed. Once
    others have been taken over it is the only one: the model's own layers keep their shapes, without memory behind them.
    """

    def __init__(self, *parts: nn.Linear) -> None:
        self._parts, self.rows = parts, sum(part.out_features for part in parts)
        self.weight, self.bias = parts[0].weight.data, None if parts[0].bias is None else parts[0].bias.data
        if len(parts) > 1:
            self.weight = torch.cat([part.weight.data for part in parts])
            self.bias = None if self.bias is None else torch.cat([part.bias.data for part in parts])
            self._share(parts)
        self.packed: Tensor | None = None
        self.refresh()

    def _share(self, parts: tuple[nn.Linear, ...]) -> None:
        at = 0
        for part in parts:
            rows = slice(at, at + part.out_features)
            part.weight.data = self.weight[rows]
            if self.bias is not None:
                part.bias.data = self.bias[rows]
            at += part.out_features

    def refresh(self) -> None:
        bf16 = self.weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if self.weight.device.type == "cpu" and torch._C._has_mkldnn and (bf16 or self.weight.dtype == torch.float32):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, _PACKED_ROWS)

    def take(self, array_of: Callable[[Tensor], Tensor], shared: Tensor) -> None:
        """Other weights. `shared` has them already, and stays, whatever it is part of here."""
        for part in self._parts:
            if part.bias is not None:
                part.bias.data.copy_(array_of(part.bias))
            if self.packed is None and part.weight is not shared:
                part.weight.data.copy_(array_of(part.weight))
        if self.packed is not None:
            new = [array_of(part.weight).to(self.weight) for part in self._parts]
            self.weight = self.weight.new_empty(())
            for part in self._parts:
                if part.weight is not shared:
                    part.weight.data = self.weight.expand(part.weight.shape)
            joined = new[0] if len(new) == 1 else torch.cat(new)
            self.packed = torch.ops.mkldnn._reorder_linear_weight(joined, _PACKED_ROWS)

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed is None:
            return linear(x, self.weight, self.bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """The product, added to `residual`."""
        if self.packed is None:
            return residual.add_(linear(x, self.weight, self.bias))
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.packed, self.bias, "add")
        return out


class Norm:
    """RMS norm over the last dimension, with the weight that the model's module holds.

    On the CPU torch makes it of nine operations. The layer norm of (x, -x), whose mean is 0 and whose variance is the mean square
    of x, is three, rounds alike, and in a pass over cold caches takes half the time.
    """

    def __init__(self, module: Any, eps: float) -> None:
        self._module, self._eps = module, eps
        self._double: Tensor | None = None
        self.refresh()

    def take(self, array_of: Callable[[Tensor], Tensor], _: Tensor) -> None:
        self._module.weight.data = array_of(self._module.weight).to(self._module.weight, copy=True)
        self.refresh()

    def refresh(self) -> None:
        weight = self._module.weight.data
        self._double = torch.cat((weight, weight)) if weight.device.type == "cpu" else None

    def __call__(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        if self._double is None:
            normed: Tensor = rms_norm(x, (size,), self._module.weight, self._eps)
            return normed
        return layer_norm(torch.cat((x, -x), -1), (2 * size,), self._double, None, self._eps)[..., :size]


class Layer:
    """One block."""

    def __init__(self, layer: Any, eps: float) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.qkv = Linear(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = Linear(attention.o_proj)
        self.gate_up = Linear(mlp.gate_proj, mlp.up_proj)
        self.down = Linear(mlp.down_proj)
        self.norm, self.mlp_norm = Norm(layer.input_layernorm, eps), Norm(layer.post_attention_layernorm, eps)
        self.heads_norms: tuple[Norm, ...] = ()
        if getattr(attention, "q_norm", None) is not None:
            self.heads_norms = Norm(attention.q_norm, eps), Norm(attention.k_norm, eps)
        self.window = getattr(attention, "sliding_window", None) or 0

    def parts(self) -> tuple[Linear | Norm, ...]:
        return self.qkv, self.out, self.gate_up, self.down, self.norm, self.mlp_norm, *self.heads_norms


class Fused:
    """Forward pass of a Llama-like `model`. Raises nothing of its own."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self.embedding, self.rotary = model.model.embed_tokens, model.model.rotary_emb
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.norm, self.scale = Norm(model.model.norm, config.rms_norm_eps), self.size**-0.5
        self.layers = [Layer(layer, config.rms_norm_eps) for layer in model.model.layers]
        if type(model).__name__ == "MistralForCausalLM":  # its window is an argument there, no attribute of the layer
            for layer in self.layers:
                layer.window = config.sliding_window or 0
        self.head = Linear(model.lm_head)
        self.token_bytes = len(self.layers) * 2 * self.kv_heads * self.size * self.embedding.weight.element_size()

    def _all(self) -> tuple[Linear | Norm, ...]:
        return self.head, self.norm, *(part for layer in self.layers for part in layer.parts())

    def refresh(self) -> None:
        """Take over weights that were changed in place."""
        for part in self._all():
            part.refresh()

    def rows(self, count: int) -> int:
        """With those that it is filled up with."""
        return bucket(count)

    @torch.no_grad()
    def take(self, array_of: Callable[[Tensor], Tensor]) -> None:
        """Take over other weights: `array_of` a parameter of the model is its new value. `refresh` cannot be used any more then."""
        embedding = self.embedding.weight
        if self.head.packed is None:
            embedding.data.copy_(array_of(embedding))
        else:  # in new memory, so that nothing holds the file any more that the old ones are mapped from
            embedding.data = array_of(embedding).to(embedding, copy=True)
        for part in self._all():
            part.take(array_of, embedding)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Tensor:
        """Logits [rows wanted, vocabulary], float32; the cache holds keys and values of all rows afterwards."""
        rows = bucket(batch.size)
        x = self.embedding(padded(batch.ids, rows))
        cos, sin = self.rotary(x, padded(batch.positions, rows).unsqueeze(0))
        half = self.size // 2
        sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        for number, layer in enumerate(self.layers):
            x = self._layer(number, layer, x, cos.squeeze(0).unsqueeze(1), sin.squeeze(0).unsqueeze(1), batch)
        if not len(x):
            return torch.zeros(0, self.head.rows, device=x.device)
        logits: Tensor = self.head(self.norm(x)).float()
        return logits.narrow(0, 0, batch.size if batch.wanted is None else len(batch.wanted))

    def _layer(self, number: int, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor, batch: Batch) -> Tensor:
        qkv = layer.qkv(layer.norm(x))
        both = qkv[:, : (self.heads + self.kv_heads) * self.size].view(len(qkv), -1, self.size)
        if layer.heads_norms:
            of_q, of_k = layer.heads_norms
            both[:, : self.heads], both[:, self.heads :] = of_q(both[:, : self.heads]), of_k(both[:, self.heads :])
        swapped = both.view(*both.shape[:-1], 2, -1).flip(-2).flatten(-2)
        both.mul_(cos).addcmul_(swapped, sin)
        new = qkv[: batch.size, self.heads * self.size :].view(batch.size, 2 * self.kv_heads, self.size)
        held = batch.cache.write(number, batch.places(2 * self.kv_heads), new)
        q, segments = both[: batch.size, : self.heads], batch.segments
        if batch.wanted is not None and number == len(self.layers) - 1:
            q, x, segments = q.index_select(0, batch.wanted), x.index_select(0, batch.wanted), batch.last_segments
            if not len(x):
                return x
            x = padded(x, bucket(len(x)))
        mixed = attend(q, held, (self.kv_heads, self.size, self.size), segments, self.scale, layer.window)
        x = layer.out.plus(padded(mixed, len(x)), x)
        gate, up = layer.gate_up(layer.mlp_norm(x)).chunk(2, dim=-1)
        return layer.down.plus(silu(gate).mul_(up), x)
