"""Rows of a data set, one at a time: from JSON lines, gzipped or not, and from parquet."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError

IDS = ("id", "unique_id", "question_id", "task_id", "problem_id", "Record ID", "problem_idx", "ID", "pid")
PROBLEMS = ("problem", "question", "prompt", "Question", "question_content", "text")
ANSWERS = ("answer", "gold", "final_answer", "expected_answer", "Answer", "reference")
DATES = ("contest_date", "date", "release_date", "start_time")
LEVELS = ("level", "difficulty")
SUBJECTS = ("subject", "category", "topics", "topic", "High-level domain", "domain")
_BATCH = 256


@dataclass(frozen=True)
class Row:
    """One row, and where it stands, for messages."""

    data: Mapping[str, Any]
    where: str
    place: int
    """Its index among all rows of the source, whatever is filtered out."""

    def find(self, names: Iterable[str]) -> Any:
        """The value of the first of the fields that is there and not null, else None."""
        return next((self.data[name] for name in names if self.data.get(name) is not None), None)

    def need(self, names: Iterable[str], what: str) -> Any:
        """As `find`. Raises `ConfigError` that lists the fields found and those wanted."""
        value = self.find(names)
        if value is None or (isinstance(value, str) and not value.strip()):
            found = ", ".join(map(str, self.data)) or "none"
            raise ConfigError(f"{self.where}: no {what}; wanted {' or '.join(names)}, found the fields {found}")
        return value

    def text(self, names: Iterable[str], what: str) -> str:
        """As `need`, of a text. Raises `ConfigError` for anything else."""
        value = self.need(names, what)
        if not isinstance(value, str):
            raise ConfigError(f"{self.where}: the {what} must be text, not {value!r:.60}")
        return value

    def rest(self, used: Iterable[str]) -> dict[str, Any]:
        """All other fields that hold something."""
        gone = set(used)
        return {name: value for name, value in self.data.items() if name not in gone and value not in (None, "", [])}

    @property
    def day(self) -> date | None:
        """The problem's date, where the row has one. Raises `ConfigError` when it cannot be read."""
        value = self.find(DATES)
        try:
            if isinstance(value, int | float):
                return datetime.fromtimestamp(value, UTC).date()
            if isinstance(value, date):
                return value.date() if isinstance(value, datetime) else value
            return None if value is None else datetime.fromisoformat(str(value)).date()
        except (ValueError, OverflowError, OSError) as error:
            raise ConfigError(f"{self.where}: {value!r:.40} is no ISO date and no time stamp") from error


def read(path: Path) -> Iterator[Row]:
    """The rows of a file by its ending: `.parquet`, else JSON lines. Raises `ConfigError` with file and line."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    return _parquet(path) if path.suffix == ".parquet" else _lines(path)


def _lines(path: Path) -> Iterator[Row]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            place = 0
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield Row(_object(line, f"{path}:{number}"), f"{path}:{number}", place)
                    place += 1
    except (OSError, EOFError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def _object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        data = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: is no UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: is no JSON: {error}; there must be one object a line") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: must be an object, not {data!r:.60}")
    return data


def _parquet(path: Path) -> Iterator[Row]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(f"{path}: reading parquet needs pyarrow: pip install 'k2core-eval[hub]'") from error
    place = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                for data in batch.to_pylist():
                    yield Row(data, f"{path}, row {place}", place)
                    place += 1
    except (OSError, arrow.ArrowException) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
