"""Options of the trainer."""

from __future__ import annotations

from typing import Annotated

from k2core_training.modelling.config import ModelOptions, OptionTable
from k2core_training.options import OptimizerOptions, TrainerOptions
from pydantic import Field, model_validator

from k2core.plugin import DecoderName


class ShapeOptions(OptionTable):
    """How large the draft model is; a Llama with tied embeddings."""

    hidden: Annotated[int, Field(ge=8)] = 128
    """Width. The embedding, by far the largest part, has so many numbers a token; for q8_0 it must be a multiple of 32."""
    intermediate: Annotated[int, Field(ge=8)] = 512
    """Width of the feed-forward layers."""
    layers: Annotated[int, Field(ge=1)] = 2
    heads: Annotated[int, Field(ge=1)] = 4
    """Of queries, keys and values each."""

    @model_validator(mode="after")
    def _divides(self) -> ShapeOptions:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden {self.hidden} must be a multiple of twice the {self.heads} heads")
        return self


class RolloutOptions(OptionTable):
    """What the target says, through the pipeline's decoder, for the draft model to learn from."""

    files: tuple[str, ...] = ()
    """Chats whose last answers are left away and written anew by the target: `.jsonl`, `.json`, `.parquet`. Without any, the
    tasks that the trainer is handed."""
    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the target as it decodes."""
    count: Annotated[int, Field(ge=2)] = 2000
    """How many; prompts are used again, with other seeds, when there are fewer."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Most tokens of each."""
    temperatures: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1.0, 0.0)
    """Taken in turn."""
    parallel: Annotated[int, Field(ge=1)] = 16
    """Asked for at once."""
    held: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share that is not trained on, on which acceptance is measured; one at least."""


class DraftConfig(TrainerOptions):
    """`model` is the target; an adapter of it is merged."""

    model: ModelOptions = ModelOptions()
    """The target, as the decoder serves it. `model.adapter` is merged into it; `model.lora` has no use here."""
    optimizer: OptimizerOptions = OptimizerOptions(lr=2e-3, warmup=0.05, weight_decay=0.01)
    """AdamW and its learning rate; higher than that of a large model."""
    draft: ShapeOptions = ShapeOptions()
    """Shape of the draft model."""
    rollouts: RolloutOptions = RolloutOptions()
    """What the target says, to learn from and to measure on."""
    top: Annotated[int, Field(ge=0)] = 64
    """Learn the target's so many likeliest tokens at each position, computed once; 0: its whole distribution, anew at each step."""
    epochs: Annotated[int, Field(ge=1)] = 4
    """How often every rollout is seen, unless `steps` says otherwise."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Rollouts of an optimiser step."""
    together: Annotated[int, Field(ge=64)] = 4096
    """Tokens that are computed at once."""
    measure: Annotated[int, Field(ge=0)] = 100
    """Steps between measurements of acceptance; 0: only at the end."""
    most_mb: Annotated[float, Field(gt=0)] = 20.0
    """Largest file, in megabytes at 16 bits a number, that may come out."""

    @model_validator(mode="after")
    def _fits(self) -> DraftConfig:
        if self.model.lora is not None:
            raise ValueError("model.lora has no use here: the target is not trained; its adapter goes into model.adapter")
        return self
