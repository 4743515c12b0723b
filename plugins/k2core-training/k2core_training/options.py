"""Options that trainers share. No torch in here."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from k2core.plugin import PluginConfig

from .modelling.config import ModelOptions, OptionTable
from .tasks.config import TaskOptions


class OptimizerOptions(OptionTable):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) and its learning rate."""

    lr: Annotated[float, Field(gt=0)] = 1e-4
    """Highest learning rate."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of matrices; norms and biases are left alone."""
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Longest gradient; a longer one is shortened to it. 0 leaves it."""
    warmup: Annotated[float, Field(ge=0)] = 0.03
    """Steps until the learning rate is reached: their number, or below 1 their share of all."""
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    """How the learning rate falls after the warm-up."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the learning rate that is left at the end."""
    bad_steps: Annotated[int, Field(ge=1)] = 10
    """So many steps in a row without a finite gradient end the training."""


class CheckpointOptions(OptionTable):
    """When to write checkpoints, and how many to keep."""

    every: Annotated[int, Field(ge=0)] = 100
    """Steps between checkpoints; 0 writes one at the end only, and when the training is stopped."""
    keep: Annotated[int, Field(ge=1)] = 2
    """The newest so many are kept."""
    export: bool = True
    """Put the model or adapter beside the state, in the format that decoders load."""


class TrainerOptions(PluginConfig):
    """What every trainer can be told."""

    model_config = ConfigDict(allow_inf_nan=False)

    out: str = ""
    """Folder of the training: metrics, checkpoints, and what was trained. `k2 train --out` sets it."""
    resume: bool = False
    """Go on from the last whole checkpoint in `out`. `k2 train --resume` sets it."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of everything that is drawn or shuffled."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Optimiser steps; 0: as many as the data give."""
    live: bool = True
    """Show how it goes, where standard error is a terminal."""
    model: ModelOptions = ModelOptions()
    """Which model, in which precision, and what of it is trained."""
    optimizer: OptimizerOptions = OptimizerOptions()
    """AdamW, its learning rate, and what becomes of bad gradients."""
    checkpoint: CheckpointOptions = CheckpointOptions()
    """When to write checkpoints, and how many to keep."""
    tasks: TaskOptions = TaskOptions()
    """Problems with references, which `k2 train` loads and gives to the trainer."""


def learning_rate(step: int, steps: int, options: OptimizerOptions) -> float:
    """Of step 0 ≤ `step` < `steps`: linear from 0 to `lr` in the warm-up, then down to `floor` times `lr` at the end."""
    warm = min(steps, round(options.warmup * steps) if options.warmup < 1 else int(options.warmup))
    if step < warm:
        return options.lr * (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, steps - warm))
    left = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[options.schedule]
    return options.lr * (options.floor + (1 - options.floor) * left)
