"""Files that hold a piece for every sample: finding the pieces, keeping some of them, putting them in order."""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..records import SampleId
from .layout import DONE, FAILED, Layout

NEW = ".new"
"""Ending of a file that is to replace another; one that is left over is worth nothing."""
BLOCK = b'{"kind":"sample",'
"""How the first line of a sample's block of a trace begins."""
_HEAD = re.compile(
    rb'\{"version":\d+,"task":(?P<task>"(?:[^"\\]|\\.)*"),"place":(?P<place>\d+),"repeat":(?P<repeat>\d+),'
    rb'"problem_id":"(?:[^"\\]|\\.)*","seed":\d+,"outcome":"(?P<outcome>\w+)"'
)


class Span(NamedTuple):
    """A piece of a file. `id` is None for what has no head or no end."""

    id: SampleId | None
    start: int
    end: int
    state: int = DONE


def lines(path: Path) -> Iterator[Span]:
    """A span a line of `samples.jsonl` or `times.jsonl`."""
    start = 0
    with path.open("rb") as file:
        for line in file:
            end = start + len(line)
            name, state = _sample(line) if line.endswith(b"\n") else (None, DONE)
            yield Span(name, start, end, state)
            start = end


def _sample(line: bytes) -> tuple[SampleId | None, int]:
    """Whose line it is, from its beginning where that is as we write it."""
    if head := _HEAD.match(line):
        name = SampleId(json.loads(head["task"]), int(head["place"]), int(head["repeat"]))
        return name, FAILED if head["outcome"] == b"infrastructure" else DONE
    try:
        data = json.loads(line)
        name = SampleId(data["task"], data["place"], data["repeat"])
    except (ValueError, KeyError, TypeError):
        return None, DONE
    return name, FAILED if data.get("outcome") == "infrastructure" else DONE


def blocks(path: Path) -> Iterator[Span]:
    """A span for every block of `traces.jsonl`; its first line, about the pipeline, is in none."""
    start, end, name = 0, 0, None
    with path.open("rb") as file:
        for line in file:
            if line.startswith(BLOCK) or not line.endswith(b"\n"):
                if start:
                    yield Span(name, start, end)
                start, name = end, _sample(line)[0] if line.endswith(b"\n") else None
            end += len(line)
    if start:
        yield Span(name, start, end)


def keep(path: Path, spans: Iterator[Span], layout: Layout, wanted: Callable[[int], bool]) -> None:
    """Leave only the first span of each wanted sample, in the order of the file. Cuts the end off where that is enough."""
    kept, seen, cut, scattered = array("Q"), bytearray(layout.total), -1, False
    for span in spans:
        number = None if span.id is None else layout.number(*span.id)
        if number is None or seen[number] or not wanted(number):
            cut = span.start if cut < 0 else cut
            continue
        scattered |= cut >= 0
        seen[number] = 1
        kept.extend((span.start, span.end))
    if scattered:
        _rewrite(path, kept)
    elif cut >= 0:
        os.truncate(path, cut)


def arrange(path: Path, spans: Iterator[Span], layout: Layout) -> None:
    """Put the spans in the order of their samples' numbers, all at once or not at all; memory is 16 bytes a sample."""
    starts, ends = array("Q", bytes(8 * layout.total)), array("Q", bytes(8 * layout.total))
    last, ordered = -1, True
    for span in spans:
        number = None if span.id is None else layout.number(*span.id)
        if number is not None:
            starts[number], ends[number] = span.start, span.end
            ordered, last = ordered and number > last, number
    if not ordered:
        _rewrite(path, (edge for pair in zip(starts, ends, strict=True) if pair[1] for edge in pair))


def _rewrite(path: Path, edges: array[int] | Iterator[int]) -> None:
    """Replace the file by its head, what comes before all spans, and these spans."""
    new, pairs = path.with_name(path.name + NEW), iter(edges)
    try:
        with path.open("rb") as old, new.open("wb") as file:
            first = old.readline()
            if first.startswith(b'{"kind":"pipeline"'):
                file.write(first)
            for start, end in zip(pairs, pairs, strict=True):
                old.seek(start)
                file.write(old.read(end - start))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
