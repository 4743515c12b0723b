"""The `trace` hook: every run as a file of events, one JSON object a line."""

from __future__ import annotations

import os
import re
import threading
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from k2core.events import CallEnded, Delta, Event, RunEnded, RunStarted
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Call, Run

from .jsonl import to_line


class TraceConfig(PluginConfig):
    """Where traces go and what is in them."""

    directory: str = "traces"
    """Folder of the files `<UTC time>-<run id>.jsonl`; made when missing."""
    file: str = ""
    """A path of its own instead; `{run_id}`, `{problem_id}` and `{time}` are filled in."""
    overwrite: bool = False
    """Replace an existing `file`; otherwise it stays as it is, and the run is not traced."""
    deltas: bool = False
    """Record text as it arrived, too. Without, only what a cancelled or failed call had produced is kept, joined."""
    required: bool = False
    """Fail a run that cannot be traced, at its next role call; otherwise it goes on with a warning."""


class Joined:
    """The deltas of one choice so far, as one."""

    def __init__(self, first: Delta) -> None:
        self._last = first
        self._texts: list[str] = []
        self._tokens = 0

    def add(self, delta: Delta) -> None:
        self._last = delta
        self._texts.append(delta.text)
        self._tokens += delta.tokens

    @property
    def delta(self) -> Delta:
        return self._last.model_copy(update={"text": "".join(self._texts), "tokens": self._tokens})


class TraceFile:
    """The open file of one run. After the first error it writes no more."""

    def __init__(self, path: Path, *, overwrite: bool, deltas: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if overwrite else os.O_EXCL)
        self.path = path
        self._descriptor = os.open(path, flags, 0o644)
        self._deltas = deltas
        self._partial: dict[str, dict[tuple[int, bool], Joined]] = {}

    def write(self, event: Event) -> None:
        if isinstance(event, Delta) and not self._deltas:
            streams = self._partial.setdefault(event.call_id, {})
            streams.setdefault((event.index, event.reasoning), Joined(event)).add(event)
            return
        if isinstance(event, CallEnded):
            streams = self._partial.pop(event.call_id, {})
            for joined in streams.values() if event.status in {"cancelled", "failed"} else ():
                self._append(joined.delta)
        self._append(event)

    def _append(self, event: Event) -> None:
        rest = memoryview(to_line(event))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def close(self) -> None:
        os.close(self._descriptor)


class Trace(Plugin):
    """Appends each event as a whole line the moment it happens, so that a crash leaves everything up to it readable."""

    config: TraceConfig
    rank: ClassVar[int] = 20

    def __init__(self, config: TraceConfig | None = None) -> None:
        super().__init__(config)
        self._lock = threading.Lock()
        self._files: dict[str, TraceFile] = {}
        self._troubles: dict[str, str] = {}
        self._told: set[str] = set()

    @hookimpl
    def k2_event(self, event: Event) -> None:
        try:
            with self._lock:
                self._record(event)
        except Exception as error:
            self._give_up(event.run_id, error)
            raise  # the kernel logs it, this once
        finally:
            if isinstance(event, RunEnded):
                self._forget(event.run_id)

    def _record(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            path = self.path_for(event)
            self._files[event.run_id] = TraceFile(path, overwrite=self.config.overwrite, deltas=self.config.deltas)
        if event.run_id in self._files:
            self._files[event.run_id].write(event)

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        trouble = self._troubles.get(run.id)
        if trouble and self.config.required:
            raise OSError(f"this run cannot be traced, and hooks.trace.required is set: {trouble}")
        if trouble and run.id not in self._told:
            self._told.add(run.id)
            run.warn("hooks.trace", f"this run is not traced: {trouble}")
        return None

    @hookimpl
    async def k2_stop(self) -> None:
        for run_id in list(self._files):
            self._forget(run_id)

    def path_for(self, event: RunStarted) -> Path:
        """The file of a run; ids are reduced to characters that are safe in a file name."""
        time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        parts = {"{run_id}": _safe(event.run_id), "{problem_id}": _safe(event.problem.id), "{time}": time}
        path = self.config.file or os.path.join(self.config.directory, "{time}-{run_id}.jsonl")
        for name, value in parts.items():
            path = path.replace(name, value)
        return Path(path).expanduser()

    def _give_up(self, run_id: str, error: Exception) -> None:
        with self._lock:
            self._troubles[run_id] = _reason(error)
            file = self._files.pop(run_id, None)
        if file:
            file.close()

    def _forget(self, run_id: str) -> None:
        with self._lock:
            file = self._files.pop(run_id, None)
            self._troubles.pop(run_id, None)
            self._told.discard(run_id)
        if file:
            with suppress(OSError):  # such as a network file system that reports a full disk only now
                file.close()


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:80].lstrip(".") or "_"


def _reason(error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return f"{error.filename} exists; remove it, or set hooks.trace.overwrite = true"
    return (
        f"{error.strerror}: {error.filename}"
        if isinstance(error, OSError) and error.filename
        else f"{type(error).__name__}: {error}"
    )
