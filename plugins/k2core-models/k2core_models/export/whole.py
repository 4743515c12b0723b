"""A whole model of the Llama architecture, as transformers saves it, as GGUF. Needs the extra `export`: numpy and `gguf`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import gguf
from .layout import LINEAR, NORMS, OUTSIDE, gguf_name, reordered, rotary_order
from .safetensors import Tensor, read
from .writing import Entry, write

FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7}
"""llama.cpp's numbers for `general.file_type`."""
_BLOCK = 32
"""Numbers that q8_0 quantises together; a row has to be made of whole blocks."""
_REFUSED = ("attention_bias", "mlp_bias")


def is_model(folder: Path) -> bool:
    """Whether a folder holds a whole model as transformers saves it."""
    return (folder / "config.json").is_file()


def export(folder: Path, out: Path, base: Path, dtype: str = "F16") -> None:
    """Write the model of a folder as GGUF, with the tokenizer and chat template of the GGUF file `base`.

    Raises `ValueError` for another architecture, a damaged or missing file, or where the folder's vocabulary is not that of `base`,
    token by token; `ImportError` without numpy and `gguf`; `OSError`.
    """
    config = _config(folder)
    header = gguf.read(base)
    _check_vocabulary(folder, config, base, header)
    tensors = list(_tensors(folder, config))
    _check_complete(folder, config, {tensor.name for tensor in tensors})
    entries = [_entry(tensor, config, dtype) for tensor in tensors]
    write(out, _meta(folder, config, dtype), entries, _tokenizer(base, header))


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"there is no readable config.json in {folder}: {error}") from error
    if config.get("model_type") != "llama":
        raise ValueError(f"only models of the Llama architecture can be exported, not {config.get('model_type')!r}")
    if bad := [name for name in _REFUSED if config.get(name)]:
        raise ValueError(f"models with {', '.join(bad)} cannot be exported")
    rope = _rope(config)
    if (rope.get("rope_type") or rope.get("type") or "default") != "default":
        raise ValueError(f"models with scaled positions cannot be exported: {rope}")
    return config


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the positions; transformers 5 has them in a table of their own, and what was `type` is `rope_type`."""
    found: Mapping[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return found


def _check_vocabulary(folder: Path, config: Mapping[str, Any], base: Path, header: gguf.Gguf) -> None:
    theirs = [token.decode("utf-8", "replace") for token in gguf.tokens(base, header)]
    if config["vocab_size"] != len(theirs):
        raise ValueError(f"the model in {folder} has {config['vocab_size']:,} tokens, the tokenizer of {base} {len(theirs):,}")
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        ours = {id: token for token, id in tokenizer["model"]["vocab"].items()}
        ours |= {entry["id"]: entry["content"] for entry in tokenizer.get("added_tokens", ())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the tokenizer.json in {folder} cannot be read: {error}") from error
    for id, token in enumerate(theirs):
        if ours.get(id) != token:
            raise ValueError(f"the vocabulary of {folder} is not that of {base}: token {id} is {ours.get(id)!r}, not {token!r}")


def _tensors(folder: Path, config: Mapping[str, Any]) -> Iterator[Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"there is no .safetensors file in {folder}")
    for file in files:
        for name, tensor in read(file).items():
            if not (name == "lm_head.weight" and config.get("tie_word_embeddings")):
                yield tensor


def _check_complete(folder: Path, config: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raises `ValueError` where a module has no weights: llama.cpp would not load the file, or would use others in their place."""
    layers = [f"model.layers.{layer}.{part}" for layer in range(config["num_hidden_layers"]) for part in (*LINEAR, *NORMS)]
    outside = [module for module in OUTSIDE if not (module == "lm_head" and config.get("tie_word_embeddings"))]
    present = set(names)
    if missing := [f"{module}.weight" for module in (*outside, *layers) if f"{module}.weight" not in present]:
        more = f" and {len(missing) - 2} more" if len(missing) > 2 else ""
        raise ValueError(f"the model in {folder} lacks {', '.join(missing[:2])}{more}; is a file missing?")


def _entry(tensor: Tensor, config: Mapping[str, Any], dtype: str) -> Entry:
    """One tensor in llama.cpp's name and order; norms stay in float32, as do rows that no block divides."""
    module, _, kind = tensor.name.rpartition(".")
    if kind != "weight":
        raise ValueError(f"{tensor.name} is no weight of the Llama architecture")
    data = tensor.data
    if module.endswith((".q_proj", ".k_proj")):
        count = config["num_attention_heads"]
        count = config.get("num_key_value_heads") or count if module.endswith("k_proj") else count
        data = reordered(tensor, rotary_order(tensor.shape[0], count))
    kind = "F32" if len(tensor.shape) == 1 else "F16" if dtype == "Q8_0" and tensor.shape[-1] % _BLOCK else dtype
    return Entry(f"{gguf_name(module)}.weight", kind, tensor.shape, _as(data, tensor.dtype, tensor.shape, kind))


def _as(data: memoryview, source: str, shape: tuple[int, ...], kind: str) -> bytes:
    """The numbers in another type, rounded to nearest."""
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("exporting whole models needs numpy and gguf: pip install 'k2core-models[export]'") from error
    if source == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(data, "<f4" if source == "F32" else "<f2").astype("<f4")
    if kind == "F32":
        return values.tobytes()
    if kind == "F16":
        if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
            raise ValueError("a number is too large for F16")
        return values.astype("<f2").tobytes()
    return _quantised(values.reshape(shape))


def _quantised(values: Any) -> bytes:
    """In blocks of 8 bits, by the library of llama.cpp's authors."""
    try:
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import quantize
    except ImportError as error:
        raise ImportError("q8_0 needs the package gguf: pip install 'k2core-models[export]'") from error
    return bytes(quantize(values, GGMLQuantizationType.Q8_0).tobytes())


def _meta(folder: Path, config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    heads = config["num_attention_heads"]
    theta = _rope(config).get("rope_theta") or config.get("rope_theta") or 10_000.0
    return {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": folder.resolve().name,
        "general.file_type": FILE_TYPES[dtype],
        "general.quantization_version": 2,
        "llama.block_count": config["num_hidden_layers"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": config.get("num_key_value_heads") or heads,
        "llama.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "llama.rope.freq_base": float(theta),
        "llama.rope.dimension_count": config.get("head_dim") or config["hidden_size"] // heads,
        "llama.attention.key_length": config.get("head_dim") or config["hidden_size"] // heads,
        "llama.attention.value_length": config.get("head_dim") or config["hidden_size"] // heads,
        "llama.vocab_size": config["vocab_size"],
    }


def _tokenizer(base: Path, header: gguf.Gguf) -> list[bytes]:
    """All that the base says of its tokenizer, byte by byte."""
    found = [place for key, place in header.pairs.items() if key.startswith("tokenizer.")]
    with base.open("rb") as file:
        return [_span(file, start, end) for start, end in found]


def _span(file: Any, start: int, end: int) -> bytes:
    file.seek(start)
    return bytes(file.read(end - start))
