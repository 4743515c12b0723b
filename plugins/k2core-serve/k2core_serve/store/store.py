"""The store as a server holds it: one process writes, anybody reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from k2core.errors import ConfigError
from k2core.events import Event

from ..records import RequestRecord
from .collecting import Collecting
from .options import StoreOptions
from .reading import TraceReader
from .schema import opened
from .writing import Job, Writer

CROWD = 8
"""So many requests at work make it worth an end's while to wait two milliseconds for others to be committed with."""


class TraceStore(TraceReader):
    """A `Recorder` whose requests can be searched and read. Between `start` and `close`, or as a context manager."""

    def __init__(self, path: str | Path, options: StoreOptions | None = None) -> None:
        super().__init__(path)
        self.options = options or StoreOptions()
        self._open: dict[str, Collecting] = {}
        self._writer: Writer | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Open the file, unless it is. Requests that a dead server left running become `interrupted`.

        Raises `ConfigError` when it is no store, one of a newer version, or another server's.
        """
        if self._writer:
            return
        self._lock = locked(self.path)
        try:
            connection = opened(self.path, self.options.synchronous)
            connection.execute("UPDATE requests SET state = 'interrupted' WHERE state = 'running'")
        except BaseException as error:
            self._unlock()
            if isinstance(error, sqlite3.Error):
                raise ConfigError(f"{self.path} cannot be used as a trace store: {error}") from error
            raise
        self._writer = Writer(connection, self.options, lambda: len(self._open) >= CROWD)
        self._writer.start()

    def close(self) -> None:
        """Write what waits, and close the file."""
        writer, self._writer = self._writer, None
        if writer:
            writer.stop()
        self._unlock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # recording

    def begin(self, record: RequestRecord) -> None:
        self._open[record.id] = Collecting(record)
        if self._writer:
            self._writer.put(Job(record))

    def event(self, id: str, event: Event) -> None:
        if collecting := self._open.get(id):
            collecting.add(event)

    def end(self, record: RequestRecord) -> Future[bool]:
        done: Future[bool] = Future()
        self._open.pop(record.id, None)
        writer = self._writer
        if writer is None or writer.pending >= self.options.pending:
            if writer:
                writer.lost += 1
            done.set_result(False)
        else:
            writer.put(Job(record, done))
        return done

    @property
    def trouble(self) -> str:
        """Why the file could not be written the last time; empty when it could."""
        return self._writer.trouble if self._writer else "the trace store is closed"

    def counters(self) -> dict[str, float]:
        """Figures for metrics: requests recorded, lost, waiting to be written and going on; seconds waited; bytes of the file."""
        writer, size = self._writer, 0
        with contextlib.suppress(OSError):
            size = self.path.stat().st_size
        return {
            "recorded": writer.recorded if writer else 0,
            "lost": writer.lost if writer else 0,
            "pending": writer.pending if writer else 0,
            "open": len(self._open),
            "seconds_waited": writer.waited if writer else 0.0,
            "bytes": size,
        }

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def locked(path: Path) -> int:
    """Hold the store until the descriptor is closed or the process ends, however it does. Raises `ConfigError`."""
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open the trace store {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"the trace store {path} is in use by another server; name another file for this one") from error
    return descriptor


def open_store(path: str | Path, options: StoreOptions | None = None) -> TraceStore:
    """The store in that file, ready. Raises `ConfigError` as `TraceStore.start`."""
    store = TraceStore(path, options)
    store.start()
    return store
