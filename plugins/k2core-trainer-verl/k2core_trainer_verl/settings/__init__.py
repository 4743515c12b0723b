"""From the trainer's options to verl's settings, by dotted path. Pure functions: neither verl nor torch is needed."""

from __future__ import annotations

from ..config import VerlConfig
from .flat import flattened
from .place import Files, Place
from .rl import rl_settings
from .sft import sft_settings

__all__ = ["Files", "Place", "flattened", "rl_settings", "settings_for", "sft_settings"]


def settings_for(config: VerlConfig, place: Place, files: Files, grading: str) -> dict[str, object]:
    """All that differs from verl's defaults for this run; the user's own `overrides` are not among it.

    :param grading: the pipeline of verifiers as JSON, see `grading`.
    """
    return rl_settings(config, place, files, grading) if config.stage == "rl" else sft_settings(config, place, files)
