"""LoRA adapters in peft's format, merged into torch's weights, so that running with one costs nothing. Needs peft, when used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from . import shipped

_WEIGHT = re.compile(r"\.lora_(embedding_)?[AB]\b")


def merge(model: Any, path: str, scale: float) -> Any:
    """`model` with the adapter of a folder added to its weights `scale` times. Raises `ValueError` for one that does not fit."""
    folder = shipped.adapter_folder(path)
    check(folder)
    try:
        from peft import PeftModel
        from peft.tuners.lora import LoraLayer
    except ImportError as error:
        raise ValueError("LoRA adapters need peft: pip install peft") from error
    try:
        adapted = PeftModel.from_pretrained(model, str(folder))
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ValueError(f"the LoRA adapter {folder} does not fit the model: {reason}") from error
    layers = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
    if not layers or not filled(folder, len(layers)):
        raise ValueError(f"the LoRA adapter {folder} does not fit the model: its weights name other layers")
    for layer in layers:
        layer.set_scale("default", scale)
    return adapted.merge_and_unload(safe_merge=True)


def check(folder: Path) -> None:
    """Raises `ValueError` for what is no LoRA adapter."""
    config = folder / "adapter_config.json"
    if not config.is_file():
        raise ValueError(f"there is no LoRA adapter in {folder}: a folder with adapter_config.json, as peft saves it, is needed")
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("peft_type")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{config} is damaged: {error}") from error
    if kind != "LORA":
        raise ValueError(f"the adapter {folder} is of peft's type {kind}, only LORA is supported")


def filled(folder: Path, layers: int) -> bool:
    """Whether there are an A and a B for each of so many layers: peft only warns of weights that found no place or are missing."""
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        return True
    from safetensors import safe_open

    with safe_open(str(file), "pt") as tensors:
        return sum(bool(_WEIGHT.search(key)) for key in tensors.keys()) == 2 * layers  # noqa: SIM118 # safetensors has no iteration
