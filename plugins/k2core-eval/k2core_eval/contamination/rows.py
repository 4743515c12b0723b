"""Training data of any usual shape, streamed: JSON lines, JSON arrays, parquet, plain text, compressed or not, in folders."""

from __future__ import annotations

import codecs
import glob
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from k2core.errors import ConfigError

LINES = (".jsonl", ".ndjson")
TEXTS = (".txt", ".md", ".tex", ".text")
KNOWN = (*LINES, ".json", ".parquet", *TEXTS)
ROWS, BYTES = 1000, 4 << 20
"""Of one batch."""
BLOCK, OVERLAP = 64 << 10, 8 << 10
"""Characters of a block of plain text, and how much of it the next block repeats: a problem may lie across the cut."""
LONGEST = 1 << 20
"""Characters of a row that are looked at in one piece."""


class Row(NamedTuple):
    """A row of training data."""

    file: str
    number: int
    """Counted from 1; of a plain text the line where the block starts."""
    text: str


@dataclass
class Batch:
    """Rows as they were read, for a worker to parse."""

    file: str
    numbers: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    """JSON, a row each; empty where `values` hold what is already parsed."""
    values: list[Any] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    size: int = 0

    def full(self) -> bool:
        return len(self.numbers) >= ROWS or self.size >= BYTES


def expand(patterns: Iterable[str]) -> list[Path]:
    """The files that paths, folders and globs name, sorted. Raises `ConfigError` for one that names none."""
    files: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            found = [p for p in path.rglob("*") if p.is_file() and kind_of(p) in KNOWN]
        else:
            found = [path] if path.is_file() else [Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file()]
        if not found:
            raise ConfigError(f"--train {pattern}: there is no such file, and no folder or glob with {', '.join(KNOWN)}[.gz] in it")
        files.update(found)
    unknown = sorted(str(path) for path in files if kind_of(path) not in KNOWN)
    if unknown:
        raise ConfigError(f"--train {unknown[0]}: not of a kind that can be read: {', '.join(KNOWN)}, all but parquet also as .gz")
    return sorted(files)


def kind_of(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return "." + name.rsplit(".", 1)[-1] if "." in name else ""


def batches(path: Path) -> Iterator[Batch]:
    """The rows of a file, in batches of bounded size. What cannot be read is told in the batch's `damaged`."""
    kind, batch = kind_of(path), Batch(str(path))
    reader = _parquet if kind == ".parquet" else _json if kind == ".json" else _lines if kind in LINES else _plain
    rows = reader(path)
    while True:
        try:
            number, line, value, size = next(rows)
        except StopIteration:
            break
        except (OSError, EOFError, zlib.error, ValueError) as error:
            batch.damaged.append(f"{path}: {error}; what follows in this file is left out")
            break
        batch.numbers.append(number)
        batch.lines.append(line) if line else batch.values.append(value)
        batch.size += size
        if batch.full():
            yield batch
            batch = Batch(str(path))
    if batch.numbers or batch.damaged:
        yield batch


_Read = tuple[int, bytes, Any, int]


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]  # GzipFile reads bytes


def _lines(path: Path) -> Iterator[_Read]:
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line, None, len(line)


def _plain(path: Path) -> Iterator[_Read]:
    with _open(path) as file:
        kept: list[str] = []
        start, size = 1, 0
        for number, line in enumerate(file, 1):
            kept.append(line.decode("utf-8", "replace"))
            size += len(kept[-1])
            if size >= BLOCK:
                yield start, b"", "".join(kept), size
                while len(kept) > 1 and size - len(kept[0]) >= OVERLAP:
                    size -= len(kept.pop(0))
                start = number - len(kept) + 1
                if size >= BLOCK:
                    kept, size, start = [], 0, number + 1
        if kept:
            yield start, b"", "".join(kept), size


def _json(path: Path) -> Iterator[_Read]:
    """The elements of an array, read piece by piece; any other value as a whole."""
    with _open(path) as file:
        text = file.read(BYTES).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
        if text.startswith("["):
            yield from _elements(file, text[1:])
        else:
            yield from _whole(text + file.read().decode("utf-8", "replace"))


def _elements(file: IO[bytes], text: str) -> Iterator[_Read]:
    decoder, more, number, ended = json.JSONDecoder(), BYTES, 0, False
    incremental = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        text = text.lstrip(", \t\r\n")
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            end = len(text)
        if end < len(text):  # else the piece may end within the element
            number += 1
            yield number, b"", value, end
            text = text[end:]
            more = BYTES
        elif text.startswith("]"):
            return
        elif ended:
            raise ValueError(f"element {number + 1} of the array is damaged")
        else:
            data = file.read(more)
            ended, more = not data, 2 * more
            text += incremental.decode(data)


def _whole(text: str) -> Iterator[_Read]:
    value = json.loads(text)
    lists = [part for part in value.values() if isinstance(part, list)] if isinstance(value, dict) else []
    rows = [row for part in lists for row in part if isinstance(row, dict)] or [value]
    for number, row in enumerate(rows, 1):
        yield number, b"", row, 1000


def _parquet(path: Path) -> Iterator[_Read]:
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,unused-ignore]  # an extra
    except ImportError as error:
        raise ConfigError(f"{path}: reading parquet needs pyarrow: pip install k2core-eval[hub]") from error
    try:
        file = parquet.ParquetFile(path)
    except Exception as error:  # pyarrow has errors of its own
        raise ValueError(str(error)) from error
    with file:
        number = 0
        for part in file.iter_batches(batch_size=256):
            for row in part.to_pylist():
                number += 1
                yield number, b"", row, len(str(row))


def parse_values(batch: Batch) -> tuple[list[tuple[int, Any]], list[str]]:
    """The batch's rows, numbered, and what was damaged, a phrase each."""
    damaged = list(batch.damaged)
    if not batch.lines:
        return list(zip(batch.numbers, batch.values, strict=True)), damaged
    values: list[tuple[int, Any]] = []
    for number, line in zip(batch.numbers, batch.lines, strict=True):
        try:
            values.append((number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            damaged.append(f"{batch.file}:{number}: {error}")
    return values, damaged


def parse(batch: Batch, fields: Sequence[str] = ()) -> tuple[list[Row], list[str]]:
    """The batch's rows as texts, and what was damaged."""
    values, damaged = parse_values(batch)
    plain = kind_of(Path(batch.file)) in TEXTS
    rows = [(number, text_of(value, () if plain else fields)) for number, value in values]
    return [Row(batch.file, number, piece) for number, text in rows for piece in _pieces(text)], damaged


def _pieces(text: str) -> Iterator[str]:
    """The text, or where it is very long, pieces that overlap."""
    if len(text) <= LONGEST:
        yield text
        return
    for at in range(0, len(text), LONGEST - OVERLAP):
        yield text[at : at + LONGEST]


def text_of(row: Any, fields: Sequence[str] = ()) -> str:
    """All strings of a row, whatever its shape, one after another; with `fields` only those under these dotted names."""
    if not fields:
        return "\n\n".join(_strings(row))
    return "\n\n".join(text for name in fields for text in _strings(_under(row, name.split("."))))


def _under(value: Any, names: list[str]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value[:1] in ("[", "{") and value[-1:] in ("]", "}") and '"' in value:
            with suppress(ValueError, RecursionError):  # a chat that somebody stored as JSON within JSON
                yield from _strings(json.loads(value))
                return
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def sample(files: Sequence[Path], fields: Sequence[str] = (), rows: int = 4000, characters: int = 8 << 20) -> list[str]:
    """The first texts of every file, evenly: enough to know which words are common."""
    texts: list[str] = []
    each, room = max(1, rows // max(1, len(files))), max(1, characters // max(1, len(files)))
    for path in files[:rows]:
        taken, size = 0, 0
        for batch in batches(path):
            for row in parse(batch, fields)[0]:
                if taken >= each or size >= room:
                    break
                texts.append(row.text[:20_000])
                taken, size = taken + 1, size + min(len(row.text), 20_000)
            if taken >= each or size >= room:
                break
    return texts
