"""Reading traces back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k2core.events import TRACE_VERSION, CallEnded, CallStarted, Delta, Event, RunEnded, RunStarted
from k2core.types import Result

from .jsonl import from_line


class TraceError(ValueError):
    """A file is no trace, is damaged, or was written by a newer version."""


@dataclass(frozen=True)
class RecordedCall:
    """One decoder call: how it began and ended, and what it streamed, as far as the trace has it."""

    started: CallStarted
    ended: CallEnded | None = None
    """None when the trace stops before the call did."""
    partial: tuple[Delta, ...] = ()
    """Text of a call that was cancelled or failed; of every call when the trace was written with deltas."""


@dataclass(frozen=True)
class RecordedRun:
    """A trace, typed again."""

    path: Path
    started: RunStarted
    events: tuple[Event, ...]
    """All of them, the first being `started`."""
    damage: str = ""
    """What is wrong with the last line, when the writer was killed in the middle of it."""

    @property
    def ended(self) -> RunEnded | None:
        """None when the run did not get so far."""
        last = self.events[-1]
        return last if isinstance(last, RunEnded) else None

    @property
    def result(self) -> Result | None:
        return self.ended.result if self.ended else None

    @property
    def calls(self) -> list[RecordedCall]:
        """Decoder calls in the order they started, without those that a hook answered."""
        ends = {e.call_id: e for e in self.events if isinstance(e, CallEnded)}
        texts: dict[str, list[Delta]] = {}
        for event in self.events:
            if isinstance(event, Delta):
                texts.setdefault(event.call_id, []).append(event)
        starts = [e for e in self.events if isinstance(e, CallStarted)]
        return [RecordedCall(e, ends.get(e.call_id), tuple(texts.get(e.call_id, ()))) for e in starts]


def read_trace(path: str | Path) -> RecordedRun:
    """Read one trace. An incomplete last line is tolerated and reported in `damage`.

    Raises `TraceError` when the file is no trace of one run, and `OSError` when it cannot be read.
    """
    path = Path(path)
    lines = path.read_bytes().split(b"\n")
    tail = b"" if _is_json(lines[-1]) else lines.pop()
    parsed = [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not parsed or parsed[0].get("kind") != RunStarted.kind:
        raise TraceError(f"{path} is no trace: its first line is no {RunStarted.kind} event")
    _check_version(parsed[0].get("version"), path)
    events = [_event(data, f"{path}, event {number}") for number, data in enumerate(parsed, 1)]
    if sum(isinstance(event, RunStarted) for event in events) > 1:
        raise TraceError(f"{path} holds more than one run; give each a file of its own")
    started = events[0]
    assert isinstance(started, RunStarted)
    damage = f"the last line is incomplete ({len(tail):,} bytes)" if tail else ""
    return RecordedRun(path, started, tuple(events), damage)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise TraceError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise TraceError(f"{where} is no event: {line[:60]!r}")
    return data


def _check_version(version: object, path: Path) -> None:
    if not isinstance(version, int) or not 1 <= version <= TRACE_VERSION:
        raise TraceError(f"{path} is a trace of version {version}; this k2core reads versions up to {TRACE_VERSION}, so upgrade it")


def _event(data: dict[str, Any], where: str) -> Event:
    try:
        return from_line(data)
    except ValueError as error:
        raise TraceError(f"{where} does not fit its kind {data.get('kind')!r}: {error}") from error
