"""`metrics.jsonl`: a line a step, and what an interrupted training has written too much cut off."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ..errors import DiskError

NAME = "metrics.jsonl"
CLOCKS = ("seconds", "tokens_per_second", "step_seconds", "memory_mb")
"""Values that depend on the machine, as do those whose names begin with `seconds_`; all others are the same in a training that was
interrupted and in one that was not."""


class Metrics:
    """Writes the file in a folder; each line is there for readers at once. `at` is where to go on, and what follows is cut off."""

    def __init__(self, folder: Path, at: int | None = None) -> None:
        """Raises `DiskError` when the folder cannot be written to, or the file is shorter than `at`."""
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("ab", buffering=0)
            if at is not None:
                self._cut(at)
        except OSError as error:
            raise DiskError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _cut(self, at: int) -> None:
        if self.path.stat().st_size < at:
            self._file.close()
            raise DiskError(f"{self.path} is shorter than at the checkpoint: it was changed, and steps are missing in it")
        self._file.truncate(at)

    @property
    def offset(self) -> int:
        """Bytes until now; goes into the checkpoint."""
        return self.path.stat().st_size

    def log(self, step: int, **values: float | int | None) -> dict[str, float | None]:
        """Append a line. What is not finite is written as null, as JSON has no other. Returns what was written.

        Raises `DiskError` for a disk that is full; no part of the line is left then.
        """
        kept = {name: finite(value) for name, value in values.items()}
        line = json.dumps({"step": step, **kept}, allow_nan=False).encode() + b"\n"
        before = self.offset
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(0, "no room for a whole line")
        except OSError as error:
            os.truncate(self.path, before)
            raise DiskError(f"cannot write {self.path}: {error.strerror or error}; make room, and resume") from error
        return kept

    def sync(self) -> None:
        """Make what is written last, so that a checkpoint's offset is never beyond the end after a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def is_clock(name: str) -> bool:
    """Whether a value depends on the machine."""
    return name in CLOCKS or name.startswith("seconds_")


def finite(value: float | int | None) -> float | int | None:
    return value if value is not None and math.isfinite(value) else None


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of a file, or of the file in a folder; a last line that is being written is left out.

    Raises `OSError` where there is none, `ValueError` with the line's number for what is no metrics.
    """
    file = path / NAME if path.is_dir() else path
    lines = file.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            values = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{file}:{number} is no JSON: {error}") from error
        if not isinstance(values, dict) or not isinstance(values.get("step"), int):
            raise ValueError(f"{file}:{number} has no step")
        yield values
