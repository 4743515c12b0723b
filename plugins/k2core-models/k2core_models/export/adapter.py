"""LoRA adapters in peft's format: as GGUF for llama.cpp, and in 16 bits for a package. Needs the standard library alone."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..gguf import Gguf
from .layout import gguf_name, reordered, rotary_order
from .safetensors import Tensor, cast, read, write
from .writing import Entry
from .writing import write as write_gguf

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight")
_ROTARY = {"llama": True, "qwen2": False, "qwen3": False}
"""Architectures of base models, and whether llama.cpp has the rows of their q and k in another order."""
_PLAIN: Mapping[str, Any] = {
    "use_dora": False,
    "bias": "none",
    "alpha_pattern": {},
    "modules_to_save": None,
    "fan_in_fan_out": False,
}
"""Options of peft that must have these values, or be empty: llama.cpp has nothing for the others."""
DEFAULTS: Mapping[str, Any] = {"lora_alpha": 8, "use_rslora": False, "rank_pattern": {}}
"""What peft takes for options that an adapter does not have."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter as peft saves it."""
    return (folder / CONFIG).is_file()


def base_of(folder: Path) -> str:
    """The model that the adapter of a folder belongs to. Raises `ValueError` where it does not say."""
    try:
        name = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error}") from error
    if not isinstance(name, str) or not name:
        raise ValueError(f"{folder / CONFIG} does not say which model it belongs to: base_model_name_or_path")
    return name


def export(folder: Path, out: Path, base: Gguf, dtype: str = "F16") -> None:
    """Write the adapter of a folder as GGUF, for the base model whose header is given.

    Raises `ValueError` for an adapter that does not fit the base or is of a kind that llama.cpp does not know, `OSError`.
    """
    config, tensors = opened(folder)
    if base.architecture not in _ROTARY:
        raise ValueError(f"adapters of {base.architecture!r} models cannot be exported, only of {', '.join(_ROTARY)}")
    found = [_entry(one, base, dtype) for one in _named(tensors, folder)]
    names = {entry.name.rpartition(".")[0] for entry in found}
    if len(found) != 2 * len(names) or not found:
        raise ValueError(f"{folder / WEIGHTS} does not hold an A and a B for each module that it adapts")
    meta = {
        "general.type": "adapter",
        "general.architecture": base.architecture,
        "general.name": folder.name,
        "adapter.type": "lora",
        "adapter.lora.alpha": _alpha(folder, config, found),
    }
    write_gguf(out, meta, found)


def compact(folder: Path, out: Path, name: str = "") -> None:
    """Write the adapter of a folder to another, in 16 bits; `name` is that of the base model, where it is to be another.

    Raises as `export`.
    """
    config, tensors = opened(folder)
    halved = [Tensor(one.name, "F16", one.shape, cast(one.data, one.dtype, "F16")) for one in tensors.values()]
    written(out, {**config, "inference_mode": True, **({"base_model_name_or_path": name} if name else {})}, halved)


def written(out: Path, config: dict[str, Any], tensors: list[Tensor]) -> None:
    """An adapter of these options and tensors in the folder `out`, whose own is replaced, if it has one. Raises `OSError`."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".adapter-", dir=out) as scratch:
        write(Path(scratch) / WEIGHTS, tensors)
        (Path(scratch) / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for file in (WEIGHTS, CONFIG):
            (Path(scratch) / file).replace(out / file)


def opened(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Options and tensors of the adapter in a folder. Raises `ValueError` for what is no plain LoRA adapter."""
    if not is_adapter(folder):
        raise ValueError(f"there is no LoRA adapter in {folder}: a folder with {CONFIG}, as peft saves it, is needed")
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, rank = config.get("peft_type"), config.get("r")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error}") from error
    if kind != "LORA" or not isinstance(rank, int):
        raise ValueError(f"the adapter {folder} is of peft's type {kind}; only LORA is supported")
    for option, plain in _PLAIN.items():
        if (value := config.get(option)) and value != plain:
            raise ValueError(f"the adapter {folder} has {option} = {value!r}, which llama.cpp cannot do")
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"there is no {WEIGHTS} in {folder}")
    return config, read(folder / WEIGHTS)


def _named(tensors: Mapping[str, Tensor], folder: Path) -> Iterator[tuple[str, str, Tensor]]:
    """Module, side and tensor of each; raises `ValueError` for modules that have no linear counterpart."""
    for key, tensor in sorted(tensors.items()):
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{folder / WEIGHTS} holds {key}, which is no weight of a LoRA layer of linear modules")
        yield match["module"], match["side"], tensor


def _entry(named: tuple[str, str, Tensor], base: Gguf, dtype: str) -> Entry:
    module, side, tensor = named
    name = f"{gguf_name(module)}.weight"
    shape = base.shapes.get(name)
    if shape is None:
        raise ValueError(f"the base model has no {name}, which the adapter changes as {module}")
    ours = tensor.shape[1 if side == "A" else 0] if len(tensor.shape) == 2 else 0
    wanted = shape[0 if side == "A" else 1] if len(shape) == 2 else -1
    if ours != wanted:
        raise ValueError(
            f"the adapter does not fit the base model: {module} has {ours} {'inputs' if side == 'A' else 'outputs'} in it"
        )
    data = tensor.data
    if side == "B" and _ROTARY[base.architecture] and module.endswith((".q_proj", ".k_proj")):
        data = reordered(tensor, rotary_order(wanted, heads(base, module)))
    return Entry(f"{name}.lora_{side.lower()}", dtype, tensor.shape, cast(data, tensor.dtype, dtype))


def heads(base: Gguf, module: str) -> int:
    """Of the attention's queries, or keys."""
    key = f"{base.architecture}.attention.head_count"
    count: int = base.meta[key]
    return int(base.meta.get(f"{key}_kv", count)) if module.endswith("k_proj") else count


def _alpha(folder: Path, config: Mapping[str, Any], found: list[Entry]) -> float:
    """llama.cpp scales by alpha / rank, and so does peft; with rsLoRA by alpha / sqrt(rank)."""
    alpha = config.get("lora_alpha", DEFAULTS["lora_alpha"])
    if not isinstance(alpha, int | float):
        raise ValueError(f"the adapter {folder} has lora_alpha = {alpha!r}, which is no number")
    if alpha == 0:
        raise ValueError(f"the adapter {folder} has lora_alpha = 0, with which it changes nothing; llama.cpp would scale it by 1")
    alpha = float(alpha)
    if not config.get("use_rslora"):
        return alpha
    ranks = {entry.shape[0] for entry in found if entry.name.endswith("lora_a")}
    if len(ranks) > 1:
        raise ValueError("an adapter with use_rslora and several ranks cannot be exported")
    return alpha * math.sqrt(ranks.pop())
