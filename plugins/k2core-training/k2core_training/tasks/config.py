"""Options of the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..modelling.config import OptionTable


class TaskOptions(OptionTable):
    """Problems with references: for rewards, and for measuring by generation."""

    train: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Names with weights, such as `{"nano:addition@2" = 2, "reasoning-gym:chain_sum" = 1, "mine.jsonl" = 1, "guru.parquet" = 1}`:
    what `k2 eval tasks` lists, and files. The weights are shares of `count`."""
    count: Annotated[int, Field(ge=1)] = 1000
    """Problems to train on, over all names; fewer where the sources have no more."""
    validation: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Names with weights to measure on; empty: those of `train`."""
    held: Annotated[int, Field(ge=0)] = 0
    """Problems to measure on; none of them is trained on."""
    excluded: tuple[str, ...] = ()
    """Names of tests: no problem of theirs is trained or measured on."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of what is drawn."""
    answer_format: Literal["auto", "boxed", "tag", "choice", "number", "text", "code", "json"] = "auto"
    """Of rows in verl's layout; `auto`: code for code, a box for mathematics, `<answer>` tags for all else."""
