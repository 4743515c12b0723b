"""Writing an evaluation's folder, so that it can be killed anywhere and goes on from there.

A sample is written in this order: its block of the trace, its clocks, its line in `samples.jsonl`. That line commits it; what
the other files have without it is cut off when the folder is opened again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from k2core.errors import ConfigError

from .folder import SAMPLES, TIMES, TRACES, Folder
from .layout import DONE, FAILED, OPEN, Layout
from .spans import NEW, Span, arrange, blocks, keep, lines

_FILES = (TRACES, TIMES, SAMPLES)
"""In the order of writing: the last one commits."""


class Store:
    """The three files with a piece for every sample. Raises `OSError` when the disk does."""

    def __init__(self, folder: Folder, layout: Layout, head: bytes) -> None:
        """`head` is the first line of the traces."""
        self.folder, self.layout, self._head = folder, layout, head
        self.states = bytearray(layout.total)
        """By number: `OPEN`, `DONE` or `FAILED`."""
        self._descriptors: list[int] = []
        self._dirty = self._gone = False

    def open(self, *, again: bool) -> int:
        """Find out what is done, cut off what is not committed. With `again`, samples that failed for want of infrastructure are
        dropped, to be made anew; returns how many. Raises `ConfigError` when the folder holds other samples than it should."""
        self._prepare()
        self._scan()
        dropped = self.states.count(FAILED) if again else 0
        kept = {DONE} if again else {DONE, FAILED}
        for name in _FILES:  # samples last: as long as a failed one has its line there, its other pieces may be gone
            keep(self._file(name), self._spans(name), self.layout, lambda number: self.states[number] in kept)
        if dropped:
            self.states = bytearray(state if state in kept else OPEN for state in self.states)
        flags = os.O_WRONLY | os.O_APPEND
        self._descriptors = [os.open(self._file(name), flags) for name in _FILES]
        return dropped

    def _file(self, name: str) -> Path:
        return self.folder.file(name)

    def _spans(self, name: str) -> Iterator[Span]:
        return (blocks if name == TRACES else lines)(self._file(name))

    def _prepare(self) -> None:
        for name in _FILES:
            path = self._file(name)
            path.with_name(path.name + NEW).unlink(missing_ok=True)
            path.touch()
        traces = self._file(TRACES)
        with traces.open("rb") as file:
            whole = file.readline().endswith(b"\n")
        if not whole:
            traces.write_bytes(self._head)

    def _scan(self) -> None:
        for place, span in enumerate(lines(self._file(SAMPLES)), 1):
            if span.id is None:
                continue  # an incomplete last line, cut off below
            number = self.layout.number(*span.id)
            if number is None or self.states[number]:
                what = "is none of this evaluation's" if number is None else "is there twice"
                raise ConfigError(f"{self._file(SAMPLES)}:{place}: sample {span.id} {what}; the file has been changed", "--out")
            self.states[number] = span.state

    def append(self, number: int, state: int, block: bytes, times: bytes, line: bytes) -> bool:
        """Write one sample; False when it is there already."""
        if self.states[number]:
            return False
        if self._gone:
            raise FileNotFoundError(f"{self.folder.path} has been removed or replaced")
        for descriptor, data in zip(self._descriptors, (block, times, line), strict=True):
            _write(descriptor, data)
        self.states[number], self._dirty = state, True
        return True

    def sync(self) -> None:
        """Have the disk keep what was written. May run in a thread."""
        if self._dirty:
            self._dirty = False
            for descriptor in self._descriptors:
                os.fsync(descriptor)
        if self._descriptors and not _same(self._file(SAMPLES), self._descriptors[-1]):
            self._gone = True

    @property
    def complete(self) -> bool:
        return OPEN not in self.states

    def arrange(self) -> None:
        """Put everything in order, once it is complete."""
        self.sync()
        for name in _FILES:
            arrange(self._file(name), self._spans(name), self.layout)

    def close(self) -> None:
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _same(path: Path, descriptor: int) -> bool:
    """Whether the path still names the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
