"""Options of the trainer."""

from __future__ import annotations

from typing import Annotated

from k2core_training.data.config import DataOptions, GateOptions
from k2core_training.modelling.config import OptionTable
from k2core_training.options import TrainerOptions
from pydantic import Field, model_validator

from k2core.plugin import DecoderName


class ValidationOptions(OptionTable):
    """Data to measure on that are not trained on."""

    files: tuple[str, ...] = ()
    """Files of chats, read by the options of `data`. A chat that is trained on is left out here, and counted."""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Without `files`: hold back so large a share of the training data, chosen by what is asked, with all answers to it."""
    every: Annotated[int, Field(ge=0)] = 50
    """Steps between measurements; 0: only at the end."""
    most: Annotated[int, Field(ge=1)] = 512
    """Use the first so many sequences at most."""
    tasks: Annotated[int, Field(ge=1)] = 100
    """With a `decoder`: solve the first so many of the tasks that are held back."""
    parallel: Annotated[int, Field(ge=1)] = 16
    """Tasks solved at the same time."""


class SftConfig(TrainerOptions):
    data: DataOptions = DataOptions()
    """Which rows to train on."""
    gate: GateOptions = GateOptions()
    """Which evaluation data must not be among them."""
    validation: ValidationOptions = ValidationOptions()
    """What to measure on, and when."""
    epochs: Annotated[int, Field(ge=1)] = 1
    """How often every sample is seen, unless `steps` says otherwise."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Samples of an optimiser step."""
    max_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens that are computed at once: samples are packed up to it; a step's packs follow one another. 0: `data.max_length`."""

    decoder: DecoderName = ""
    """Name under `[decoders]` of the model that is trained: it gets the weights and solves tasks where something is measured."""

    @model_validator(mode="after")
    def _fits(self) -> SftConfig:
        if self.max_tokens and self.max_tokens < self.data.max_length:
            raise ValueError(f"max_tokens {self.max_tokens} is less than data.max_length {self.data.max_length}: nothing would fit")
        return self

    @property
    def together(self) -> int:
        return self.max_tokens or self.data.max_length
