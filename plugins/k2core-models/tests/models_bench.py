"""The command, and adapters as peft saves them, made without it."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

from k2core_models.command import Models
from k2core_models.export import safetensors

RANK = 2


def k2(*words: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    Models().k2_commands(parser.add_subparsers())
    options = parser.parse_args(["models", *words])
    return int(options.run(options))


def floats(*shape: int, seed: int = 0) -> safetensors.Tensor:
    draw = random.Random(seed)
    count = shape[0] * shape[1]
    return safetensors.Tensor("", "F32", shape, memoryview(struct.pack(f"<{count}f", *(draw.gauss(0, 1) for _ in range(count)))))


def lora(folder: Path, modules: dict[str, tuple[int, int]], **options: Any) -> Path:
    """An adapter as peft saves it; modules with their inputs and outputs."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": 4, **options}))
    tensors = []
    for place, (module, (inputs, outputs)) in enumerate(modules.items()):
        for side, shape in (("A", (RANK, inputs)), ("B", (outputs, RANK))):
            one = floats(*shape, seed=place)
            name = f"base_model.model.model.layers.0.{module}.lora_{side}.weight"
            tensors.append(safetensors.Tensor(name, one.dtype, one.shape, one.data))
    safetensors.write(folder / "adapter_model.safetensors", tensors)
    return folder
