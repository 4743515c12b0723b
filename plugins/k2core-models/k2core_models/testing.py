"""GGUF files made to measure, for the tests of whatever reads such files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .export.writing import Entry, write

Tensor = tuple[str, tuple[int, ...], bytes]
"""Name, shape (fastest dimension first), values as little-endian float32."""


def write_gguf(path: Path, meta: Mapping[str, Any], tensors: Sequence[Tensor] = ()) -> Path:
    """A GGUF file, version 3. Values are strings, floats, unsigned integers, truths or lists of strings."""
    write(path, meta, [Entry(name, "F32", shape[::-1], values) for name, shape, values in tensors])
    return path
