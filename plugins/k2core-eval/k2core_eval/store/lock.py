"""One evaluation writes to a folder at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from k2core.errors import ConfigError

LOCK = ".lock"


_PATIENCE = 3.0
"""Seconds that a scorer may take to die after its evaluation was killed."""


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Make the folder and hold it; yields a descriptor that a child may inherit: the lock lasts until both have ended.

    Raises `ConfigError` when another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}", "--out") from error
    try:
        _take(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if time.monotonic() > until:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise ConfigError(f"{folder} is being written by another evaluation (process {holder})", "--out") from error
        time.sleep(0.05)
