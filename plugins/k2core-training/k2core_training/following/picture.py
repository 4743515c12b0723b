"""Panels as a PNG, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError

from .series import Panel

COLUMNS, WIDTH, HEIGHT = 3, 4.6, 2.9
"""Panels side by side, and inches of each."""


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write the PNG. Raises `ConfigError` where matplotlib is missing or the file cannot be written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a PNG needs matplotlib: pip install 'k2core-training[plot]', or take --html alone") from error
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * WIDTH, rows * HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels, 1):
        _panel(figure.add_subplot(rows, COLUMNS, number), panel)
    try:
        figure.savefig(path, dpi=110, format="png")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def _panel(axes: Any, panel: Panel) -> None:
    for line in panel.lines:
        marker = "o" if len(line.steps) < 30 else ""
        axes.plot(line.steps, line.values, label=line.label, linewidth=1.2, marker=marker, markersize=3)
    axes.set_title(panel.name.replace("_", " "), fontsize=10, parse_math=False)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    if len(panel.lines) > 1:
        for text in axes.legend(fontsize=7).get_texts():
            text.set_parse_math(False)
