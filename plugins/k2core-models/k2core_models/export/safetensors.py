"""Read and write safetensors files with the standard library alone.

Format: eight bytes of length, a JSON header with type, shape and place of each tensor, then the data
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes of a number, of the types that are read."""
_MOST = 100 << 20


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file. `shape` is as in torch, slowest dimension first."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, mapped into memory. Raises `ValueError` for what is no whole safetensors file, `OSError`."""
    with path.open("rb") as file:
        if path.stat().st_size < 8:
            raise ValueError(f"{path} is no safetensors file: it has only {path.stat().st_size} bytes")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(len(data) - 8, _MOST):
        raise ValueError(f"{path} is truncated or no safetensors file: its header would be {length:,} bytes long")
    try:
        header: dict[str, Any] = json.loads(bytes(data[8 : 8 + length]))
        header.pop("__metadata__", None)
        return {name: _tensor(name, entry, data[8 + length :]) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _tensor(name: str, entry: Mapping[str, Any], data: memoryview) -> Tensor:
    dtype, shape, (start, end) = str(entry["dtype"]), tuple(map(int, entry["shape"])), entry["data_offsets"]
    if dtype not in WIDTHS:
        raise ValueError(f"the tensor {name} is of type {dtype}; known are {', '.join(WIDTHS)}")
    if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * WIDTHS[dtype]:
        raise ValueError(f"the tensor {name} does not lie within the file, or is not of its size")
    return Tensor(name, dtype, shape, data[start:end])


def write(path: Path, tensors: Iterable[Tensor]) -> None:
    """Write tensors in order. Raises `OSError`; the caller sees to it that nothing half-written stays."""
    tensors = list(tensors)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor in tensors:
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, at + len(tensor.data)]}
        at += len(tensor.data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            file.write(tensor.data)


def cast(data: memoryview, source: str, target: str) -> memoryview:
    """Numbers of one type as another, rounded to nearest even. Raises `ValueError` where one does not fit."""
    if source == target:
        return data
    if source == "BF16":
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return cast(memoryview(wide), "F32", target)
    count = len(data) // WIDTHS[source]
    values = struct.unpack(f"<{count}{'f' if source == 'F32' else 'e'}", data)
    try:
        return memoryview(struct.pack(f"<{count}{'f' if target == 'F32' else 'e'}", *values))
    except OverflowError as error:
        raise ValueError(f"a number is too large for {target}") from error
