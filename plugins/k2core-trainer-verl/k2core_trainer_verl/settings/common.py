"""Settings that both of verl's trainers have, under one path or another."""

from __future__ import annotations

from typing import Any

from ..config import VerlConfig
from .place import Place

NEVER = 1_000_000_000
"""Steps between two checkpoints where only the last is wanted: verl writes a last one only where it writes any."""

SHORT = {"float32": "fp32", "bfloat16": "bf16"}
"""verl's own names."""


def model_settings(config: VerlConfig, place: Place, path: str) -> dict[str, Any]:
    """The `HFModelConfig` at `path`."""
    model = config.model
    found: dict[str, Any] = {
        "path": model.model,
        "enable_gradient_checkpointing": model.gradient_checkpointing,
        "use_remove_padding": not place.on_cpu,
    }
    if place.on_cpu:  # flash attention, verl's default, is for graphics cards
        found["override_config.attn_implementation"] = "sdpa"
    if model.chat_template:
        found["custom_chat_template"] = model.chat_template
    if model.lora is not None:
        targets = model.lora.targets
        found |= {"lora_rank": model.lora.rank, "lora_alpha": int(model.lora.alpha)}
        found["target_modules"] = targets if isinstance(targets, str) else list(targets)
    if model.adapter:
        found["lora_adapter_path"] = model.adapter
    return {f"{path}.{name}": value for name, value in found.items()}


def optimizer_settings(config: VerlConfig, path: str) -> dict[str, Any]:
    """The `FSDPOptimizerConfig` at `path`. A warm-up below 1 is a share of all steps."""
    optimizer = config.optimizer
    by_share = optimizer.warmup < 1
    found: dict[str, Any] = {
        "lr": optimizer.lr,
        "betas": list(optimizer.betas),
        "weight_decay": optimizer.weight_decay,
        "clip_grad": optimizer.clip,
        "lr_scheduler_type": optimizer.schedule,
        "min_lr_ratio": optimizer.floor,
        "lr_warmup_steps": -1 if by_share else int(optimizer.warmup),
        "lr_warmup_steps_ratio": optimizer.warmup if by_share else 0.0,
        "override_optimizer_config": {"eps": optimizer.eps},
    }
    return {f"{path}.{name}": value for name, value in found.items()}


def engine_settings(config: VerlConfig, place: Place, path: str) -> dict[str, Any]:
    """The `FSDPEngineConfig` at `path`: sharding, and float32 weights for the optimiser, computed with in `dtype`."""
    sharding, dtype = config.sharding, dtype_of(config, place)
    found: dict[str, Any] = {
        "strategy": sharding.strategy,
        "fsdp_size": sharding.size or -1,
        "param_offload": sharding.offload,
        "optimizer_offload": sharding.offload,
        "ulysses_sequence_parallel_size": sharding.sequence_parallel,
        "model_dtype": "fp32",
        "dtype": dtype,
        "mixed_precision": {
            "param_dtype": SHORT[dtype],
            "reduce_dtype": "fp32",
            "buffer_dtype": "fp32",
        },
        "use_torch_compile": not place.on_cpu,
        "seed": config.seed,
    }
    return {f"{path}.{name}": value for name, value in found.items()}


def dtype_of(config: VerlConfig, place: Place) -> str:
    """`float32` or `bfloat16`."""
    if config.model.dtype != "auto":
        return config.model.dtype
    return "float32" if place.on_cpu else "bfloat16"


def trainer_settings(config: VerlConfig, place: Place, checkpoints: str) -> dict[str, Any]:
    """The table `trainer`. Metrics go to a file, whose name verl takes from its environment, and to the log."""
    found: dict[str, Any] = {
        "project_name": "k2core",
        "experiment_name": config.stage,
        "logger": ["console", "file"],
        "device": place.device,
        "nnodes": place.nodes,
        "n_gpus_per_node": place.gpus,
        "total_epochs": config.epochs if config.stage == "sft" else config.passes,
        "total_training_steps": config.steps or None,
        "save_freq": config.checkpoint.every or NEVER,
        "test_freq": config.data.validate_every or -1,
        "default_local_dir": checkpoints,
        "resume_mode": "auto" if config.resume else "disable",
    }
    return {f"trainer.{name}": value for name, value in found.items()}
