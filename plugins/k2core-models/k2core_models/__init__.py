"""Models that local decoders know by name: fetched on first use, and looked through before an engine sees them."""

from __future__ import annotations

import threading
from pathlib import Path

from . import shipped
from .models import KNOWN, KnownModel, cached, is_path, known

__all__ = ["KNOWN", "KnownModel", "cached", "is_path", "known", "loading", "resolve", "shipped"]

loading = threading.Lock()
"""Held while transformers loads a model, which it can do only once at a time in a process.

`from_pretrained` replaces functions of transformers itself and puts back what it found. Two at once leave the replacements in
place, and models that are loaded afterwards lack their tied weights.
"""


def resolve(model: str, stop: threading.Event | None = None) -> Path:
    """The file of a `model` option: a path as it is (not looked at), a known name's file, fetched if need be, or that of a model
    that an installed distribution ships. Blocks.

    Raises `ValueError` for an unknown name and what `fetch.fetch` raises, `fetch.Stopped` soon after `stop` has been set.
    """
    from .fetch import fetch

    if "\0" in model:
        raise ValueError("the path of the model contains a NUL character")
    if is_path(model):
        return Path(model).expanduser().absolute()
    if model not in KNOWN and (folder := shipped.folder(model)):
        return folder / "model.gguf"
    return fetch(known(model), stop)
