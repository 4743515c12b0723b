"""Folders and files that are there whole or not at all, also when the power goes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import DiskError


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes `folder`'s place when the block ends well, and goes when it does not.

    Raises `DiskError` for what the system refuses, such as a full disk; then `folder` is as before.
    """
    scratch = folder.with_name(f".new-{folder.name}")
    old = folder.with_name(f".old-{folder.name}")
    try:
        try:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            yield scratch
            _flush(scratch)
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                folder.rename(old)
            scratch.rename(folder)
            flush_folder(folder.parent)
        except OSError as error:
            raise DiskError(f"cannot write {folder}: {error.strerror or error}") from error
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    for path in [*(p for p in folder.rglob("*") if p.is_dir()), folder]:
        flush_folder(path)


def flush_folder(folder: Path) -> None:
    """Make names in a folder last. Where folders cannot be opened there is nothing to do."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def recover(folder: Path) -> None:
    """Finish or undo what a kill has left of `replacing(folder)`."""
    old = folder.with_name(f".old-{folder.name}")
    if old.exists() and not folder.exists():
        old.rename(folder)
    for rest in (old, folder.with_name(f".new-{folder.name}")):
        shutil.rmtree(rest, ignore_errors=True)
