"""LoRA: peft makes the adapters, keeps their format and names; what they compute is ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from .config import LoraOptions

_ADAPTER = "default"


def add(model: Any, options: LoraOptions) -> Any:
    """A peft model with a new adapter, whose second factor is 0. Raises `ValueError` for targets that are not there."""
    from peft import LoraConfig, get_peft_model

    named = options.targets if isinstance(options.targets, str) else list(options.targets)
    size: Any = {"r": options.rank, "lora_alpha": options.alpha}  # alpha may be a fraction, whatever peft's types say
    config = LoraConfig(**size, target_modules=named, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM")
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ValueError(f"model.lora.targets: {' '.join(str(error).split())[:300]}") from error
    return _ours(adapted)


def go_on(model: Any, folder: str) -> Any:
    """A peft model with the adapter of a folder, to be trained further. Raises `ValueError` for one that does not fit."""
    from k2core_models.merging import check, filled
    from peft import PeftModel

    path = Path(folder).expanduser()
    check(path)
    try:
        adapted: Any = PeftModel.from_pretrained(model, str(path), is_trainable=True)
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"the LoRA adapter {path} does not fit the model: {' '.join(str(error).split())[:400]}") from error
    if not filled(path, sum(1 for _ in layers(adapted))):
        raise ValueError(f"the LoRA adapter {path} does not fit the model: its weights name other layers")
    return _ours(adapted)


def layers(model: Any) -> Iterator[tuple[str, Any]]:
    """The layers that have an adapter, by name."""
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))


def _ours(adapted: Any) -> Any:
    """Put our computation into each layer, and the factors into float32. Raises `ValueError` for layers of another kind."""
    from peft.tuners.lora.layer import Linear

    head = adapted.get_output_embeddings()  # losses multiply by its weight themselves
    for name, layer in layers(adapted):
        if layer is head:
            raise ValueError(f"model.lora.targets: {name} is the vocabulary head, of which no adapter can be trained here")
        plain = type(layer) is Linear and type(layer.base_layer) is torch.nn.Linear and not layer.use_dora.get(_ADAPTER, False)
        if not plain or any(layer.lora_dropout[_ADAPTER].parameters()):
            raise ValueError(f"model.lora.targets: {name} is no plain linear layer, and no other can be trained here")
        layer.forward = MethodType(_forward, layer)
        for factor in (layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER]):
            factor.weight.data = factor.weight.data.float()
    return adapted


def _forward(layer: Any, x: Tensor) -> Tensor:
    """W x + s B A x. The factors are float32 and multiplied in the precision of x; W needs no gradient, so x is kept once."""
    down, up = layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight
    inner = linear(x, down.to(x.dtype))
    scale = layer.scaling[_ADAPTER]
    return layer.base_layer(x).add_(linear(inner, (up * scale).to(x.dtype)))  # type: ignore[no-any-return]


@torch.no_grad()
def merged(layer: Any) -> Tensor:
    """The layer's weight with its adapter added, in the weight's precision."""
    down, up = layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight
    weight = layer.base_layer.weight
    return torch.addmm(weight.float(), up, down, alpha=layer.scaling[_ADAPTER]).to(weight.dtype)
