"""Rows of files, one after another: JSON lines, JSON arrays and parquet. What cannot be read is told in its place."""

from __future__ import annotations

import glob
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from k2core.errors import ConfigError

KINDS = (".jsonl", ".ndjson", ".jsonl.gz", ".json", ".parquet")


class Row(NamedTuple):
    """A row, or what is wrong with it."""

    file: str
    number: int
    """Line of a file of lines, else its number; from 1 on."""
    value: Any
    fault: str = ""
    """A reason to leave it out, such as `bad UTF-8`; then there is no value."""
    detail: str = ""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


def expand(patterns: Iterable[str], path: str = "trainer.data.files") -> list[Path]:
    """The files that paths, folders and globs name, each once. Raises `ConfigError` for one that names none."""
    files: dict[Path, None] = {}
    for pattern in patterns:
        given = Path(pattern).expanduser()
        if given.is_dir():
            found = sorted(p for p in given.rglob("*") if p.is_file() and p.name.endswith(KINDS))
        else:
            found = [given] if given.is_file() else sorted(Path(p) for p in glob.glob(str(given), recursive=True))
        if not found:
            raise ConfigError(f"there is no file {pattern!r}, and no folder or glob with {', '.join(KINDS)} in it", path)
        files.update(dict.fromkeys(found))
    for file in files:
        if not file.name.endswith(KINDS):
            raise ConfigError(f"{file} is not of a kind that can be read: {', '.join(KINDS)}", path)
    return list(files)


def rows(files: Iterable[Path], path: str = "trainer.data.files") -> Iterator[Row]:
    """Every row of every file. Raises `ConfigError` about `path` where parquet cannot be read for want of pyarrow."""
    for file in files:
        number = 0
        try:
            for row in _read(file, path):
                number = row.number
                yield row
        except (OSError, EOFError, zlib.error) as error:
            yield Row(str(file), number + 1, None, "unreadable", f"{error}; the rest of the file is left out")


def _read(file: Path, path: str) -> Iterator[Row]:
    if file.name.endswith(".parquet"):
        return _parquet(file, path)
    return _array(file) if file.name.endswith(".json") else _lines(file)


def _lines(file: Path) -> Iterator[Row]:
    with _open(file) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _parsed(str(file), number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)


def _open(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb")  # type: ignore[return-value] # GzipFile reads bytes


def _parsed(file: str, number: int, line: bytes) -> Row:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Row(file, number, None, "bad UTF-8", f"byte {error.start}")
    try:
        return Row(file, number, json.loads(text))
    except (ValueError, RecursionError) as error:
        return Row(file, number, None, "malformed", f"no JSON: {error}")


def _array(file: Path) -> Iterator[Row]:
    data = file.read_bytes()
    whole = _parsed(str(file), 1, data.removeprefix(b"\xef\xbb\xbf"))
    if whole.fault or not isinstance(whole.value, list):
        yield whole
        return
    for number, value in enumerate(whole.value, 1):
        yield Row(str(file), number, value)


def _parquet(file: Path, path: str) -> Iterator[Row]:
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise ConfigError(f"reading {file} needs pyarrow: pip install 'k2core-training[parquet]'", path) from error
    number = 0
    try:
        with parquet.ParquetFile(file) as opened:
            for part in opened.iter_batches(batch_size=256):
                for value in part.to_pylist():
                    number += 1
                    yield Row(str(file), number, value)
    except Exception as error:  # pyarrow has errors of its own
        if isinstance(error, GeneratorExit):
            raise
        yield Row(str(file), number + 1, None, "unreadable", f"{error}; the rest of the file is left out")
