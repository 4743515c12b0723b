"""GGUF files made to measure, for the tests of whatever reads such files."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Tensor = tuple[str, tuple[int, ...], bytes]
"""Name, shape (fastest dimension first), values as little-endian float32."""
_ALIGNMENT = 32


def write_gguf(path: Path, meta: Mapping[str, Any], tensors: Sequence[Tensor] = ()) -> Path:
    """A GGUF file, version 3. Values are strings, floats, unsigned integers or lists of strings."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(meta))
    head += b"".join(_string(key) + _value(value) for key, value in meta.items())
    data = b""
    for tensor, shape, values in tensors:
        head += _string(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        data += values + b"\0" * (-len(values) % _ALIGNMENT)
    path.write_bytes(head + b"\0" * (-len(head) % _ALIGNMENT) + data)
    return path


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
