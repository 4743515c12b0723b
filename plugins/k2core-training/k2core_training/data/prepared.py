"""Token sequences on the disk: written once, in bounded memory, and read at random without loading them."""

from __future__ import annotations

import json
import mmap
import sys
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ..errors import TrainingError
from ..events import Skipped
from ..packing import TokenSequence
from .chats import KEY, Chat

VERSION = 2
_FILES = ("ids.bin", "targets.bin", "ends.bin", "places.txt", "keys.bin")


class Writer:
    """Appends sequences to files in a folder; `close` writes what describes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._ids, self._targets, self._ends, self._places, self._keys = (self._open(name) for name in _FILES)
        self.sequences, self.tokens, self.targets = 0, 0, 0

    def _open(self, name: str) -> IO[bytes]:
        return self._stack.enter_context((self._folder / name).open("wb"))

    def add(self, sequence: TokenSequence, chat: Chat) -> None:
        flags = bytearray(len(sequence.ids))
        for at in sequence.places():
            flags[at] = 1
        self._ids.write(_little(array("I", sequence.ids)))
        self._targets.write(flags)
        self.sequences, self.tokens, self.targets = self.sequences + 1, self.tokens + len(flags), self.targets + sum(flags)
        self._ends.write(_little(array("Q", [self.tokens])))
        self._places.write(chat.place.replace("\n", " ").encode("utf-8", "replace") + b"\n")
        self._keys.write(chat.key)

    def close(self, about: Mapping[str, Any]) -> None:
        self._stack.close()
        counts = {"version": VERSION, "sequences": self.sequences, "tokens": self.tokens, "targets": self.targets}
        (self._folder / "about.json").write_text(json.dumps({**counts, **about}, indent=1) + "\n", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()


def _little(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


class Prepared:
    """What a `Writer` has written. `data[i]` is a sequence."""

    def __init__(self, folder: Path) -> None:
        """Raises `TrainingError` where it is not whole."""
        try:
            self.about: dict[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
            if self.about["version"] != VERSION:
                raise ValueError(f"their version is {self.about['version']}, not {VERSION}")
            self._ids = _mapped(folder / "ids.bin", 4 * self.about["tokens"]).cast("I")
            self._targets = _mapped(folder / "targets.bin", self.about["tokens"])
            self._ends = _mapped(folder / "ends.bin", 8 * self.about["sequences"]).cast("Q")
            self._keys = _mapped(folder / "keys.bin", KEY * self.about["sequences"])
            self._file = folder / "places.txt"
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"the prepared data in {folder} are damaged: {error}; remove that folder, and resume") from error

    def __len__(self) -> int:
        return int(self.about["sequences"])

    def __getitem__(self, index: int) -> TokenSequence:
        first, last = (self._ends[index - 1] if index else 0), self._ends[index]
        return TokenSequence(self._ids[first:last].tolist(), [bool(flag) for flag in self._targets[first:last]])

    def skips(self, of: str = "") -> Iterator[Skipped]:
        """What was left out, by reason; `of` is put before each reason."""
        told = self.about["skips"]
        for reason, count in told["counts"].items():
            yield Skipped(reason=of + reason, count=count, examples=tuple(told["examples"][reason]))

    def keys(self) -> frozenset[bytes]:
        """Of the chats that the sequences come from."""
        return frozenset(bytes(self._keys[at : at + KEY]) for at in range(0, len(self._keys), KEY))

    def places(self) -> Iterator[str]:
        """File and line of each sequence."""
        with self._file.open(encoding="utf-8") as lines:
            yield from (line.rstrip("\n") for line in lines)


def _mapped(path: Path, size: int) -> memoryview:
    if path.stat().st_size != size:
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes, not {size:,}")
    if not size:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
