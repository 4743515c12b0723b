"""Read the header of a GGUF file, and check that the file holds all that its header promises.

llama.cpp gives no reason when it cannot load a file, and a damaged one can end the whole process; so it is looked at first.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FIXED = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84)},
    **{11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74)},
    **{18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2)},
    **{26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36)},
}
"""Tensor type to elements and bytes of a block (ggml's `ggml_type`); a type that is not here is not measured."""


@dataclass(frozen=True)
class Gguf:
    """What the header says."""

    meta: dict[str, Any]
    """Keys to values; of an array only its length."""
    longest_token: int
    """Bytes of the longest entry of the vocabulary, 0 when there is none."""
    vocabulary: tuple[int, int] = (0, 0)
    """Where the vocabulary's strings begin in the file, in bytes, and how many there are."""
    pairs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Where each key with its value begins and ends in the file, in bytes."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Tensors by name, fastest dimension first."""

    @property
    def architecture(self) -> str:
        return str(self.meta.get("general.architecture", ""))

    @property
    def context_length(self) -> int | None:
        """Tokens the model was trained for."""
        return self.meta.get(f"{self.architecture}.context_length")

    @property
    def is_adapter(self) -> bool:
        return self.meta.get("general.type") == "adapter"


def read(path: Path) -> Gguf:
    """The header of `path`.

    Raises `FileNotFoundError` where there is no file, `ValueError` when it is not GGUF, is truncated or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}" + (" (it is a folder)" if path.is_dir() else ""))
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(24)
        if head[:4] != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file: it starts with {head[:4]!r} and not with b'GGUF'")
        if size <= 24:
            raise ValueError(f"{path} is truncated: it has only {size} bytes")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _Reader(data, size).header()
            except (struct.error, IndexError) as error:
                raise ValueError(f"{path} is truncated: its {size:,} bytes end within the header") from error
            except ValueError as error:
                raise ValueError(f"{path} is no usable GGUF file: {error}") from error


def tokens(path: Path, header: Gguf) -> list[bytes]:
    """The vocabulary of a file that `read` has been through; token i is the i-th."""
    at, count = header.vocabulary
    found = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(count):
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(data[at + 8 : at + 8 + length])
            at += 8 + length
    return found


class _Reader:
    def __init__(self, data: mmap.mmap, size: int) -> None:
        self._data, self._size, self._at = data, size, 4
        self._longest, self._vocabulary = 0, (0, 0)
        self._pairs: dict[str, tuple[int, int]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def header(self) -> Gguf:
        version = self._value(4)
        if version not in (2, 3):
            raise ValueError(f"version {version} of the format is not supported, only 2 and 3")
        tensors, keys = self._value(10), self._value(10)
        meta = {}
        for _ in self._counted(keys, "keys"):
            start = self._at
            key, value = self._pair()
            meta[key] = value
            self._pairs[key] = start, self._at
        end = self._end_of_tensors(tensors, meta.get("general.alignment", 32))
        if end > self._size:
            raise ValueError(f"it is truncated: {self._size:,} bytes, of which its tensors need {end:,}")
        return Gguf(meta, self._longest, self._vocabulary, self._pairs, self._shapes)

    def _counted(self, count: int, what: str) -> Iterator[int]:
        if count > self._size:
            raise ValueError(f"it claims to have {count} {what}")
        return iter(range(count))

    def _value(self, kind: int) -> Any:
        (value,) = struct.unpack_from(_FIXED[kind], self._data, self._at)
        self._at += struct.calcsize(_FIXED[kind])
        return value

    def _string(self) -> str:
        length = self._value(10)
        if length > self._size - self._at:
            raise IndexError
        self._at += length
        return self._data[self._at - length : self._at].decode("utf-8", "replace")

    def _pair(self) -> tuple[str, Any]:
        key, kind = self._string(), self._value(4)
        if kind == _STRING:
            return key, self._string()
        if kind == _ARRAY:
            return key, self._array(key)
        if kind not in _FIXED:
            raise ValueError(f"key {key[:80]!r} has the unknown type {kind}")
        return key, self._value(kind)

    def _array(self, key: str) -> int:
        """Step over an array; its length."""
        kind, count = self._value(4), self._value(10)
        if kind in _FIXED:
            self._at += count * struct.calcsize(_FIXED[kind])
        elif kind == _STRING:
            at, longest = self._at, self._skip_strings(count)
            if key == "tokenizer.ggml.tokens":
                self._longest, self._vocabulary = longest, (at, int(count))
        else:
            raise ValueError(f"key {key[:80]!r} is an array of the unsupported type {kind}")
        if self._at > self._size:
            raise IndexError
        return int(count)

    def _skip_strings(self, count: int) -> int:
        """Step over strings, of which a vocabulary has a hundred thousand; the length of the longest."""
        data, at, longest, unpack = self._data, self._at, 0, struct.Struct("<Q").unpack_from
        for _ in self._counted(count, "strings"):
            (length,) = unpack(data, at)
            at += 8 + length
            longest = max(longest, length)
        self._at = at
        return longest

    def _end_of_tensors(self, count: int, alignment: int) -> int:
        """The size that the file must have: where the last byte of any tensor lies."""
        last = 0
        for _ in self._counted(count, "tensors"):
            name = self._string()
            shape = [self._value(10) for _ in self._counted(self._value(4), "dimensions")]
            kind, offset = self._value(4), self._value(10)
            self._shapes[name] = tuple(shape)
            elements, size = _BLOCKS.get(kind, (1, 0))
            last = max(last, offset + math.prod(shape) // elements * size)
        if alignment <= 0:
            raise ValueError(f"its alignment is {alignment}")
        return int(-(-self._at // alignment) * alignment + last)
