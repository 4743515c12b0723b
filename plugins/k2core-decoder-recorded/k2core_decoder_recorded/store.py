"""Reading files of stored completions: JSONL, plain or gzipped, one object a line.

A row holds its problem's id and either `completion`, a text, or `samples`, a list of objects with a `completion` each. Beside a
`completion` there may be `tool_calls`, as in OpenAI's chat completions.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from k2core.types import ToolCall


class Stored(NamedTuple):
    """One completion. Deliberately without gold answer or correctness: what is not read cannot leak."""

    text: str
    model: str
    tokens: int
    calls: tuple[ToolCall, ...] = ()


class Line(NamedTuple):
    """One parsed row and where it stands, for error messages."""

    where: str
    row: Mapping[str, Any]

    def get(self, name: str, kind: type) -> Any:
        """The field `name`, which must be there and a `kind`. Raises `ValueError`."""
        if name not in self.row:
            raise ValueError(f"{self.where}: there is no field {name!r}; the row has: {', '.join(self.row) or 'nothing'}")
        if not isinstance(value := self.row[name], kind):
            raise ValueError(f"{self.where}: {name!r} must be a {kind.__name__}, not {value!r:.60}")
        return value


class Cancelled(Exception):
    """Reading was stopped."""


def read_lines(path: Path, stop: threading.Event | None = None) -> Iterator[Line]:
    """The rows of a file. Raises `OSError`, or `ValueError` with file and line; `Cancelled` once `stop` is set."""
    number = 0
    with _opened(path) as file:
        try:
            for number, text in enumerate(file, 1):
                if stop is not None and stop.is_set():
                    raise Cancelled
                if text.strip():
                    yield Line(f"{path}:{number}", _parsed(text, f"{path}:{number}"))
        except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}:{number + 1}: cannot be read: {error}; is it whole, and UTF-8 text?") from error


def _opened(path: Path) -> IO[str]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if zipped else path.open(encoding="utf-8")


def _parsed(text: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"{where}: a row must be an object, not {row!r:.60}")
    return row


def load(paths: Sequence[str], id_field: str, tokens_field: str, stop: threading.Event | None = None) -> dict[str, list[Stored]]:
    """All completions by problem id, in the order of files and lines. Raises as `read_lines`, and when there are none."""
    found: dict[str, list[Stored]] = {}
    for path in paths:
        for line in read_lines(Path(path).expanduser(), stop):
            found.setdefault(line.get(id_field, str), []).extend(_completions(line, tokens_field))
    if not found:
        raise ValueError(f"no completions in {', '.join(paths)}")
    return found


def _completions(line: Line, tokens_field: str) -> Iterator[Stored]:
    if "samples" not in line.row:
        yield _stored(line, line, tokens_field)
        return
    for place, sample in enumerate(line.get("samples", list)):
        where = f"{line.where}: samples[{place}]"
        if not isinstance(sample, dict):
            raise ValueError(f"{where} must be an object, not {sample!r:.60}")
        yield _stored(Line(where, sample), line, tokens_field)


def _stored(sample: Line, row: Line, tokens_field: str) -> Stored:
    text = sample.get("completion", str)
    model = sample.row.get("model") or row.row.get("model") or ""
    calls = tuple(_call(call, sample.where) for call in sample.get("tool_calls", list)) if sample.row.get("tool_calls") else ()
    written = text + "".join(call.name + call.arguments for call in calls)
    tokens = sample.get(tokens_field, int) if tokens_field in sample.row else estimated_tokens(written)
    if tokens < 0:
        raise ValueError(f"{sample.where}: {tokens_field!r} must not be negative, it is {tokens}")
    return Stored(text, str(model), tokens, calls)


def _call(call: Any, where: str) -> ToolCall:
    try:
        function = call["function"]
        return ToolCall(id=call["id"], name=function["name"], arguments=function["arguments"])
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{where}: no tool call in OpenAI's form: {call!r:.80}") from error


def estimated_tokens(text: str) -> int:
    """A token for every four characters, rounded up: a rule of thumb for English, not a count."""
    return -(-len(text) // 4)
