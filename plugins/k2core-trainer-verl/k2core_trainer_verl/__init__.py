"""Trains with verl on Ray what the pipeline describes. Importing this module loads neither verl nor torch."""

from __future__ import annotations

from .config import VerlConfig
from .trainer import Verl

__all__ = ["Verl", "VerlConfig"]
