"""The folder of a training: who may write to it, what was configured, and what belongs to which configuration."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError

from .errors import DiskError
from .options import TrainerOptions

_LOCK, _RECORD, _NEW = ".lock", "run.json", "run.new"
_FREE = ("out", "resume", "steps", "live", "checkpoint")
"""Options that may change between an interruption and its resumption."""


@contextmanager
def opened(options: TrainerOptions, trainer: str) -> Iterator[Path]:
    """The folder `out`, held for this process, with `run.json` in it.

    Raises `ConfigError` when there is none, when it is not empty and `resume` is off, when it was begun with other options, and
    when another process writes to it. One in which nothing has been made is empty: what failed before it began may be put right.
    """
    if not options.out:
        raise ConfigError("a folder to write to is needed: --out DIR, or the option `out`", "trainer.out")
    folder = Path(options.out).expanduser()
    inside = folder.is_dir() and any(_made(path) for path in folder.iterdir())
    if inside and not options.resume:
        raise ConfigError(f"{folder} is not empty; go on with --resume, or choose another folder", "trainer.out")
    if inside and not (folder / _RECORD).is_file():
        raise ConfigError(f"{folder} holds no training to go on with: {_RECORD} is missing", "trainer.out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror or error}", "trainer.out") from error
    try:
        _take(descriptor, folder)
        _record(folder, options, trainer, inside)
        yield folder
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"another training writes to {folder}", "trainer.out") from error


def _made(path: Path) -> bool:
    """Whether a training has got as far as this file or folder, or somebody else has put it there."""
    return path.name not in (_LOCK, _RECORD, _NEW) and (path.is_dir() or path.stat().st_size > 0)


def _record(folder: Path, options: TrainerOptions, trainer: str, begun: bool) -> None:
    path = folder / _RECORD
    mine = {"trainer": trainer, "options": json.loads(options.model_dump_json())}
    if begun:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} is damaged: {error}", "trainer.out") from error
        if before.get("trainer") != trainer:
            raise ConfigError(f"{folder} was begun by the trainer {before.get('trainer')!r}", "trainer.use")
        if changed := _difference(before.get("options") or {}, mine["options"]):
            raise ConfigError(f"{folder} was begun with another value; set it back, or choose another folder", f"trainer.{changed}")
    scratch = folder / _NEW
    try:
        scratch.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror or error}") from error


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], inner: bool = False) -> str:
    """The path of the first option that differs; empty where none does. Options that an older version did not have may."""
    for name, value in now.items():
        if (not inner and name in _FREE) or name not in before or before[name] == value:
            continue
        if not (isinstance(value, dict) and isinstance(before[name], dict)):
            return name
        if found := _difference(before[name], value, True):
            return f"{name}.{found}"
    return ""
