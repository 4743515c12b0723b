"""Models, tokenizers and adapters. Importing this loads neither torch nor transformers: `load` does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config import TransformersConfig
    from .loaded import Loaded

__all__ = ["load"]


def load(config: TransformersConfig, stop: threading.Event | None = None) -> Loaded:
    """As `loading.loaded.load`, which see."""
    from .loaded import load as really

    return really(config, stop)
