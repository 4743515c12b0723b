"""`k2 models export SOURCE --out …`."""

from __future__ import annotations

from pathlib import Path

from .. import gguf, resolve
from ..models import DEFAULT
from . import adapter, whole


def run(source: Path, out: Path, base: str, dtype: str) -> None:
    """Export what a folder holds; `base` is empty where it was not given. Raises `ValueError`, `ImportError` or `OSError`."""
    source = source.expanduser()
    if not source.is_dir():
        raise ValueError(
            f"{source} is no folder; what is exported is a LoRA adapter as peft saves it, or a model as transformers does"
        )
    if adapter.is_adapter(source):
        if out.suffix != ".gguf":
            return adapter.compact(source, out, base)
        if dtype == "q8_0":
            raise ValueError("an adapter is exported as f16 or f32")
        return adapter.export(source, out, gguf.read(resolve(base or DEFAULT)), dtype.upper())
    if not whole.is_model(source):
        raise ValueError(f"{source} holds neither an adapter_config.json nor a config.json")
    if out.suffix != ".gguf":
        raise ValueError(f"a model is exported to a .gguf file, not to {out}")
    return whole.export(source, out, resolve(base or DEFAULT), dtype.upper())
