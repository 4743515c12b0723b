"""Adapters and models that installed distributions bring along, by name.

A distribution names them in the entry-point group `k2core.models.shipped.v1`; each entry point is the path of a folder: an adapter
as peft saves it, or a model as transformers does, beside which `model.gguf` is the same for llama.cpp. The name of an adapter is a
model's name too: that of the model it belongs to, with it on.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from . import gguf
from .export import adapter
from .models import KNOWN, writable_folder

GROUP = "k2core.models.shipped.v1"


def names() -> dict[str, metadata.EntryPoint]:
    """The entry points by name; nothing is imported."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def folder(name: str) -> Path | None:
    """The folder of a shipped adapter or model; None for a name that nobody ships.

    Raises `FileNotFoundError` where the distribution names one but does not hold it.
    """
    point = names().get(name)
    if point is None:
        return None
    found = Path(point.load())
    if not (adapter.is_adapter(found) or (found / "config.json").is_file()):
        dist = point.dist.name if point.dist else "its distribution"
        raise FileNotFoundError(
            f"{name} is not in this build of {dist}: {found} holds no adapter and no model; see its README for how to make it"
        )
    return found


def adapter_folder(path: str) -> Path:
    """What a `lora` option means: the name of a shipped adapter, or a path. Raises as `folder`, `ValueError` for neither."""
    found = folder(path) or Path(path).expanduser()
    if not found.exists():
        known = ", ".join(sorted(names())) or "none"
        raise ValueError(
            f"there is no LoRA adapter {path}: neither a file or folder, nor a name that an installed distribution brings along "
            f"({known}); k2-nano comes with k2core-nano"
        )
    return found


class Unfolded(NamedTuple):
    """What a `model` option stands for."""

    model: str
    """A name, path or folder, as it was, or what the adapter belongs to."""
    adapters: tuple[str, ...] = ()
    """The shipped adapter that the option named."""


def unfolded(model: str) -> Unfolded:
    """A `model` option that is the name of a shipped adapter, as the model it belongs to and itself; any other as it is.

    Raises as `folder`, and `ValueError` for an adapter that does not say what it belongs to.
    """
    found = None if model in KNOWN else folder(model)
    if found is None or not adapter.is_adapter(found):
        return Unfolded(model)
    return Unfolded(adapter.base_of(found), (model,))


def adapter_file(path: str, base: Path) -> Path:
    """What a `lora` option means for llama.cpp: a GGUF file; or a shipped name or peft folder, converted into the cache once.

    `base` is the GGUF file of the model that it adapts. Raises `ValueError` for an adapter that does not fit it, `OSError`.
    """
    found = adapter_folder(path)
    if not adapter.is_adapter(found):
        return found
    header = gguf.read(base)
    digest = hashlib.sha256(repr(sorted(header.shapes.items())).encode())
    for file in (adapter.CONFIG, adapter.WEIGHTS):
        if (found / file).is_file():
            digest.update((found / file).read_bytes())
    target = writable_folder() / "adapters" / f"{found.resolve().name}-{digest.hexdigest()[:16]}.gguf"
    if not target.is_file():
        adapter.export(found, target, header)
    return target
