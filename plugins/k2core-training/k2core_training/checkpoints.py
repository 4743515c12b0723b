"""Checkpoints: whole or not there, looked through before they are used, and never lost to the one after them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k2core.log import get_logger

from .errors import DiskError
from .saving import recover, replacing

_NAME = re.compile(r"step-(\d+)")
_STATE, _MANIFEST, VERSION = "state.pt", "manifest.json", 1


@dataclass(frozen=True)
class Checkpoint:
    """One that has been found whole."""

    step: int
    path: Path

    def state(self) -> dict[str, Any]:
        """What was saved; tensors on the CPU. Nothing in the file can run code."""
        import torch

        loaded: dict[str, Any] = torch.load(self.path / _STATE, map_location="cpu", weights_only=True)
        return loaded


class Checkpoints:
    """The checkpoints in a folder, one folder each, named by step."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self._keep = folder, keep

    def save(self, step: int, state: Mapping[str, Any], files: Callable[[Path], object] | None = None) -> Path:
        """Write a checkpoint: `state` (numbers, texts, lists, dicts, tensors), and what `files(folder)` writes.

        It takes its place only when everything is on the disk. Raises `DiskError` when that fails; older ones are not touched then.
        """
        target = self.folder / f"step-{step:08d}"
        try:
            with replacing(target) as scratch:
                _write_state(scratch / _STATE, state)
                if files is not None:
                    files(scratch)
                _write_manifest(scratch, step)
        except DiskError as error:
            last = self.latest()
            kept = f"the one of step {last.step} is whole" if last else "there is none yet"
            raise DiskError(
                f"the checkpoint of step {step} could not be written: {error}; {kept}. Make room, and resume"
            ) from error
        self._tidy(step)
        return target

    def _tidy(self, step: int) -> None:
        """Take away what is older than those to keep, and what is newer: it was damaged, or this one would not have been made."""
        others = self._all()
        newer = [path for path in others if _step(path) > step]
        for path in newer + others[len(newer) + self._keep :]:
            shutil.rmtree(path, ignore_errors=True)

    def latest(self) -> Checkpoint | None:
        """The newest that is whole; damaged ones are passed over, with a warning in the log."""
        for scratch in self.folder.glob(".*-step-*"):
            recover(scratch.with_name(scratch.name.split("-", 1)[1]))
        for path in self._all():
            if fault := _fault(path):
                get_logger().warning("a checkpoint is damaged; going back to the one before", path=str(path), fault=fault)
            else:
                return Checkpoint(_step(path), path)
        return None

    def _all(self) -> list[Path]:
        """The newest first."""
        found = [path for path in self.folder.glob("step-*") if path.is_dir() and _NAME.fullmatch(path.name)]
        return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _write_state(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    try:
        with path.open("wb") as file:
            torch.save(dict(state), file)
    except RuntimeError as error:  # torch's writer hides the system's error
        raise OSError(0, " ".join(str(error.__context__ or error).split())[:300]) from error


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _MANIFEST:
            yield path.relative_to(folder).as_posix(), path


def _write_manifest(folder: Path, step: int) -> None:
    files = {name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for name, path in _files(folder)}
    text = json.dumps({"version": VERSION, "step": step, "files": files}, indent=1)
    (folder / _MANIFEST).write_text(text + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fault(folder: Path) -> str:
    """What is wrong with a checkpoint; empty where it is whole."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["version"] != VERSION:
            return f"its version is {manifest['version']}, not {VERSION}"
        for name, expected in manifest["files"].items():
            path = folder / name
            if path.stat().st_size != expected["bytes"] or _sha256(path) != expected["sha256"]:
                return f"{name} is not what was written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""
