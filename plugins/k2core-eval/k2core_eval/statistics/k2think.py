"""Table 2 of the K2 Think report (arXiv 2509.07604), as published: a check of our averages, and what critics recalculated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

SOURCE = "K2 Think technical report, arXiv 2509.07604, table 2 (component ablation)"

PROBLEMS: Final[Mapping[str, int]] = {"AIME'24": 30, "AIME'25": 30, "HMMT'25": 30, "Omni-HARD": 173}
"""Number of problems of each benchmark: the weights of the micro-average."""


class Row(NamedTuple):
    """An arm of the ablation, in percent, means of 16 runs."""

    name: str
    scores: tuple[float, float, float, float]
    """In the order of `PROBLEMS`."""
    micro: float
    macro: float


TABLE: Final[tuple[Row, ...]] = (
    Row("SFT + RL checkpoint", (86.26, 77.72, 66.46, 56.74), 63.61, 71.80),
    Row("+ plan", (85.21, 81.04, 71.87, 58.97), 65.95, 74.27),
    Row("+ best-of-3", (90.77, 81.22, 71.16, 59.47), 66.85, 75.66),
    Row("+ both", (90.83, 81.24, 73.75, 60.73), 67.99, 76.64),
)
