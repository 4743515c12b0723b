"""The settings of verl's SFT trainer."""

from __future__ import annotations

from typing import Any

from ..config import VerlConfig
from .common import engine_settings, model_settings, optimizer_settings, trainer_settings
from .place import Files, Place


def sft_settings(config: VerlConfig, place: Place, files: Files) -> dict[str, Any]:
    """By dotted path. Conversations are packed: no padding, and a device takes up to `batch_tokens` tokens at once."""
    data = config.data
    return {
        "data.train_files": list(files.train),
        "data.val_files": list(files.validation) or None,
        "data.messages_key": data.messages,
        "data.train_batch_size": config.prompts,
        "data.use_dynamic_bsz": config.batch_tokens > 0,
        "data.micro_batch_size_per_gpu": config.micro,
        "data.max_token_len_per_gpu": config.batch_tokens or config.whole,
        "data.max_length": config.whole,
        "data.truncation": "error" if data.over_long == "error" else "right",
        "data.pad_mode": "no_padding",
        **({"data.num_workers": 0} if place.on_cpu else {}),
        **model_settings(config, place, "model"),
        **optimizer_settings(config, "optim"),
        **engine_settings(config, place, "engine"),
        **trainer_settings(config, place, files.checkpoints),
        "trainer.seed": config.seed,
        "trainer.max_ckpt_to_keep": config.checkpoint.keep,
    }
