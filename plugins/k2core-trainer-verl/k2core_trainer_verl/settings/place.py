"""Where a run takes place, and the files that it reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """The devices, as verl's environment sees them."""

    device: str
    """`cuda`, `npu` or `cpu`."""
    gpus: int = 1
    """Devices of a node; on the CPU processes."""
    nodes: int = 1

    @property
    def on_cpu(self) -> bool:
        return self.device == "cpu"

    @property
    def world(self) -> int:
        return self.gpus * self.nodes


@dataclass(frozen=True)
class Files:
    """Absolute paths."""

    train: Sequence[str]
    validation: Sequence[str] = field(default_factory=tuple)
    checkpoints: str = "checkpoints"
    rollouts: str = ""
    """Folder for the answers of every step; empty keeps none."""
    metrics: str = ""
    """File that verl's logger writes."""
    errors: str = ""
    """File for answers that could not be graded."""
