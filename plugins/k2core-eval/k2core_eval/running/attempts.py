"""`attempts.jsonl`: what was begun, so that what a kill interrupted is known."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..records import SampleId, Spent
from ..store.folder import ATTEMPTS, Folder
from ..store.layout import OPEN, Layout

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Attempts:
    """Appends a line when a session begins or ends, and when a sample is started, fails, or is given up."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.file(ATTEMPTS)
        self._descriptor = -1

    def open(self, layout: Layout, states: bytes, dropped: int) -> Interrupted:
        """Begin a session; tells what earlier ones had begun and neither finished nor seen fail."""
        interrupted = self._read(layout, states)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.note("session", pid=os.getpid(), at=round(time.time(), 3), interrupted=interrupted.samples, again=dropped)
        return interrupted

    def _read(self, layout: Layout, states: bytes) -> Interrupted:
        begun, retried = bytearray(layout.total), 0
        if self._path.exists():
            _cut(self._path)
            with self._path.open("rb") as file:
                for line in file:
                    data = json.loads(line)
                    number = layout.number(data["task"], data["place"], data["repeat"]) if "task" in data else None
                    if number is not None and data["kind"] == "started":
                        begun[number] = min(255, begun[number] + 1)
                    elif number is not None:
                        begun[number] = max(0, begun[number] - 1)
                        retried += data["kind"] == "failed"
        left = sum(count - (state != OPEN and count > 0) for count, state in zip(begun, states, strict=True))
        return Interrupted(left, retried)

    def note(self, kind: str, **data: Any) -> None:
        """Append a line. Raises `OSError`."""
        os.write(self._descriptor, _encode({"kind": kind, **data}).encode() + b"\n")

    def started(self, name: SampleId) -> None:
        self.note("started", task=name.task, place=name.place, repeat=name.repeat)

    def failed(self, name: SampleId, error: str, spent: Sequence[Spent], seconds: float) -> None:
        """A try that is to be repeated."""
        self.note("failed", **name._asdict(), error=error, spent=plain(spent), seconds=round(seconds, 3))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Interrupted(NamedTuple):
    """What earlier sessions left behind."""

    samples: int
    """Runs that had begun when their process was killed or stopped; what they had spent is not known."""
    retried: int
    """Runs that failed and were repeated."""


def plain(spent: Sequence[Spent]) -> list[dict[str, Any]]:
    """Without clocks, as samples have it."""
    return [
        {"role": one.role, "decoder": one.decoder, "model": one.model, "usage": {**one.usage.__dict__, "seconds": 0.0}}
        for one in spent
    ]


def _cut(path: Any) -> None:
    """Cut off an incomplete last line."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(0, end - (1 << 20))
        file.seek(start)
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(start + tail.rfind(b"\n") + 1)
