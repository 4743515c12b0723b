"""What one evaluation is to do, as the command line said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k2core.config import PipelineConfig


@dataclass(frozen=True)
class Settings:
    """Tasks, pipeline and protocol; what is under `grading` and `sources` goes to the scorer alone."""

    tasks: tuple[str, ...]
    out: Path
    config: PipelineConfig
    """The pipeline under test, without `[tasks]` and `[trainer]`."""
    grading: Mapping[str, Any] = field(default_factory=dict)
    """`[grading]` of the configuration file."""
    sources: Mapping[str, Any] = field(default_factory=dict)
    """`[tasks]` of the configuration file."""
    preset: str = ""
    label: str = ""
    seed: int = 0
    repeats: int = 1
    limit: int | None = None
    data: str | None = None
    concurrency: int = 16
    patience: float = 600.0
    probe: int = 0
    """Make only so many samples, spread evenly; 0 for all."""
    peek: bool = False
    executor: str = "local"
    address: str = ""
    """Of the Ray cluster; empty for one of our own."""
    workers: int = 0
