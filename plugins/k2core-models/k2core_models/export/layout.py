"""Names and row orders: transformers' Llama modules against llama.cpp's tensors."""

from __future__ import annotations

from .safetensors import Tensor

LINEAR = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
"""Modules outside the layers."""


def gguf_name(module: str) -> str:
    """llama.cpp's name of a module such as `model.layers.3.mlp.up_proj`, without `.weight`. Raises `ValueError`."""
    if module in OUTSIDE:
        return OUTSIDE[module]
    head, _, rest = module.partition("layers.")
    layer, _, part = rest.partition(".")
    known = {**LINEAR, **NORMS}
    if head != "model." or not layer.isdigit() or part not in known:
        raise ValueError(f"{module} is no module of the Llama architecture")
    return f"blk.{layer}.{known[part]}"


def rotary_order(rows: int, heads: int) -> list[int]:
    """Which row of transformers' q or k projection each row of llama.cpp's is.

    transformers rotates dimension i of a head with i + d/2, llama.cpp 2i with 2i + 1: so the halves of each head
    are interleaved.
    """
    half = rows // heads // 2
    return [head * 2 * half + part * half + place for head in range(heads) for place in range(half) for part in range(2)]


def reordered(tensor: Tensor, order: list[int]) -> memoryview:
    """The rows of a matrix in another order."""
    width = len(tensor.data) // tensor.shape[0]
    return memoryview(b"".join(tensor.data[row * width : (row + 1) * width] for row in order))
