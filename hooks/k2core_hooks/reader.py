"""Reading traces back: files of one run, and of many."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from k2core.events import TRACE_VERSION, CallEnded, CallStarted, Delta, Event, RunEnded, RunStarted
from k2core.types import Result

from .jsonl import from_line

SampleKey: TypeAlias = tuple[str, int, int]
"""Task, place and repeat of a sample of an evaluation."""

TRACES = "traces.jsonl"
"""Name of the file with all runs in the folder of an evaluation."""

_KIND = re.compile(rb'\s*\{\s*"kind"\s*:\s*"(\w+)"')


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
    sample: SampleKey | None = None
    """Which sample of an evaluation it is, where the file says so."""

    @property
    def ended(self) -> RunEnded | None:
        """None when the run did not get so far."""
        last = self.events[-1]
        return last if isinstance(last, RunEnded) else None

    @property
    def result(self) -> Result | None:
        return self.ended.result if self.ended else None

    @property
    def bare(self) -> bool:
        """Whether it was made with `Runtime.open`, so that there is nothing to run again."""
        return self.ended is not None and not self.ended.result and not self.ended.error

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
    if sum(data.get("kind") == RunStarted.kind for data in parsed) > 1:
        raise TraceError(f"{path} holds more than one run; read them with read_runs")
    events = [_event(data, f"{path}, event {number}") for number, data in enumerate(parsed, 1)]
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


# many runs


@dataclass
class Block:
    """The lines of one run in a file of many, and where they are."""

    offset: int
    line: int
    """Number of the first line in the file, from 1."""
    pipeline: Mapping[str, Any]
    """Configuration and plugins of the runs that leave their own empty."""
    lines: list[bytes] = field(default_factory=list)
    length: int = 0

    @property
    def sample(self) -> SampleKey | None:
        """Raises `ValueError` when the line that should tell is damaged."""
        if not self.lines or kind_of(self.lines[0]) != "sample":
            return None
        told = json.loads(self.lines[0])
        try:
            return str(told["task"]), int(told["place"]), int(told["repeat"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"the line of a sample lacks its task, place or repeat: {error}") from error


def read_runs(path: str | Path, skipped: Callable[[str], None] = lambda told: None) -> Iterator[RecordedRun]:
    """The runs of a file, one after the other; of a folder, those of its `traces.jsonl`, else of all its `.jsonl` files by name.

    One run is held at a time. One that is damaged or stops before its end is left out, and `skipped` is told of it in a line.
    Raises `TraceError` for what is no trace at all, and `OSError` when it cannot be read.
    """
    for file in trace_files(Path(path)):
        found = False
        for block in read_blocks(file):
            found = True
            try:
                run = parse_block(block, file)
            except ValueError as error:
                skipped(f"{file}, line {block.line}: left out, {' '.join(str(error).split())[:300]}")
                continue
            yield run
        if not found:
            raise TraceError(f"{file} is no trace: no line is a {RunStarted.kind} event")


def trace_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder."""
    if not path.is_dir():
        return [path]
    files = [path / TRACES] if (path / TRACES).exists() else sorted(path.glob("*.jsonl"))
    if not files:
        raise TraceError(f"{path} holds no traces: neither {TRACES} nor any .jsonl file")
    return files


def read_blocks(path: Path) -> Iterator[Block]:
    """The runs of a file as they stand there, not parsed."""
    with path.open("rb") as file:
        yield from _blocks(file)


def _blocks(file: BinaryIO) -> Iterator[Block]:
    block, offset, pipeline = None, 0, dict[str, Any]()
    for number, line in enumerate(file, 1):
        kind = kind_of(line)
        if kind == "pipeline":
            pipeline = _pipeline(line)
        elif kind == "sample" or (kind == RunStarted.kind and not (block and _only_sample(block))):
            if block:
                yield block
            block = Block(offset, number, pipeline)
        offset += len(line)
        if block and kind != "pipeline":
            block.lines.append(line)
            block.length += len(line)
    if block:
        yield block


def _only_sample(block: Block) -> bool:
    return len(block.lines) == 1 and kind_of(block.lines[0]) == "sample"


def kind_of(line: bytes) -> str:
    """What a line says it is, without parsing it; empty when it does not say."""
    match = _KIND.match(line)
    return match[1].decode() if match else ""


def _pipeline(line: bytes) -> dict[str, Any]:
    """What the runs below it have in common; nothing when the line is damaged, and those runs will say that they lack it."""
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    return {name: data[name] for name in ("config", "plugins") if isinstance(data.get(name), dict)}


def parse_block(block: Block, path: Path) -> RecordedRun:
    """Raises `TraceError` or `ValueError` for a run that is damaged or stops before its end."""
    sample = block.sample
    lines = block.lines[1:] if sample else block.lines
    parsed = [_parse(line, f"line {block.line + number}") for number, line in enumerate(lines, bool(sample)) if line.strip()]
    if not parsed or parsed[0].get("kind") != RunStarted.kind:
        raise TraceError(f"its first event is no {RunStarted.kind}")
    _check_version(parsed[0].get("version"), path)
    events = [_event(data, f"event {number}") for number, data in enumerate(parsed, 1)]
    if not isinstance(events[-1], RunEnded):
        raise TraceError("the run stops before its end")
    started = _completed(events[0], block.pipeline)
    return RecordedRun(path, started, (started, *events[1:]), sample=sample)


def _completed(started: Event, pipeline: Mapping[str, Any]) -> RunStarted:
    """With the configuration that all runs of the file share, where it has none of its own."""
    assert isinstance(started, RunStarted)
    if started.config:
        return started
    if not pipeline.get("config"):
        raise TraceError("there is no configuration, neither with the run nor in a pipeline line before it")
    return started.model_copy(update=pipeline)
