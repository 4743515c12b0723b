"""Headers of GGUF files, and files that no engine must ever see."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from k2core_models import gguf
from k2core_models.testing import write_gguf

VOCABULARY = {"general.architecture": "llama", "tokenizer.ggml.tokens": ["a", "bcd"], "llama.context_length": 77}
TENSOR = ("w", (8, 2), struct.pack("<16f", *range(16)))


def test_header(tmp_path: Path, model: Path) -> None:
    header = gguf.read(write_gguf(tmp_path / "fine.gguf", VOCABULARY, [TENSOR]))
    assert (header.architecture, header.context_length, header.longest_token, header.is_adapter) == ("llama", 77, 3, False)
    assert gguf.tokens(tmp_path / "fine.gguf", header) == [b"a", b"bcd"]
    real = gguf.read(model)
    assert gguf.tokens(model, real)[504] == b"The"
    assert (real.architecture, real.context_length, real.meta["tokenizer.ggml.tokens"]) == ("llama", 8192, 49152)


@pytest.mark.parametrize("keep", [4, 24, 30, 100, 50_000, 1_000_000, 98_000_000, 98_362_431])
def test_truncated(model: Path, tmp_path: Path, keep: int) -> None:
    """A sparse copy of the real file, cut short."""
    cut = tmp_path / "cut.gguf"
    with model.open("rb") as source, cut.open("wb") as target:
        target.write(source.read(min(keep, 4_000_000)))
        target.truncate(keep)
    with pytest.raises(ValueError, match="truncated"):
        gguf.read(cut)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a GGUF file: it starts with b''"),
        (b"PK\x03\x04" + b"x" * 100, "is not a GGUF file: it starts with b'PK"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0) + b"xxxx", "version 1 of the format"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60) + b"xxxx", "claims to have 1152921504606846976 keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 60) + b"xxxx", "truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<I", 99) + b"xxxx", "unknown type 99"),
    ],
)
def test_junk(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "junk.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        gguf.read(path)
