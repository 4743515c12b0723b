"""Write GGUF files, version 3, little-endian."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ALIGNMENT = 32
TYPES = {"F32": 0, "F16": 1, "Q8_0": 8}
"""ggml's numbers of tensor types."""


class Entry(NamedTuple):
    """A tensor to be written; `shape` is as in torch, slowest dimension first."""

    name: str
    type: str
    shape: tuple[int, ...]
    data: memoryview | bytes


def pair(key: str, value: Any) -> bytes:
    """A key with its value: text, float, unsigned integer, truth or a list of texts."""
    return text(key) + _value(value)


def text(value: str) -> bytes:
    """A string with its length before it."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))


def write(path: Path, meta: Mapping[str, Any], tensors: Sequence[Entry], copied: Sequence[bytes] = ()) -> None:
    """Write a file, whole or not at all; `copied` are pairs as they stand in another file. Raises `OSError`."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(meta) + len(copied))
    head += b"".join(pair(key, value) for key, value in meta.items()) + b"".join(copied)
    at = 0
    for name, kind, shape, data in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), TYPES[kind], at)
        at += -(-len(data) // ALIGNMENT) * ALIGNMENT
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:  # others may write the same file
        part = Path(scratch) / path.name
        with part.open("wb") as file:
            file.write(head + b"\0" * (-len(head) % ALIGNMENT))
            for entry in tensors:
                file.write(entry.data)
                file.write(b"\0" * (-len(entry.data) % ALIGNMENT))
        part.replace(path)
