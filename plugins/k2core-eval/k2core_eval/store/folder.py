"""Reading an evaluation's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from k2core.errors import ConfigError
from k2core.types import Record

from ..records import VERSION, Manifest, Referenced, Sample, Times

R = TypeVar("R", bound=Record)

MANIFEST = "run.json"
SAMPLES = "samples.jsonl"
PROBLEMS = "problems.jsonl"
TIMES = "times.jsonl"
TRACES = "traces.jsonl"
ATTEMPTS = "attempts.jsonl"
SUMMARY = "summary.json"


class Folder:
    """The files of one evaluation, by name. Reading is lazy and tolerates an incomplete last line, as of a running evaluation."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def file(self, name: str) -> Path:
        return self.path / name

    def manifest(self) -> Manifest:
        """Raises `ConfigError` when the folder holds no evaluation, or one of a newer version."""
        file = self.file(MANIFEST)
        try:
            manifest = Manifest.model_validate_json(file.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"{self.path} holds no evaluation: {error.strerror}: {MANIFEST}; make one with k2 eval run"
            ) from error
        except ValidationError as error:
            raise ConfigError(f"{file} is no manifest of version {VERSION} that this k2core-eval reads: {error}") from error
        if manifest.version > VERSION:
            raise ConfigError(f"{file} is of version {manifest.version}, this k2core-eval reads up to {VERSION}; upgrade it")
        return manifest

    def samples(self) -> Iterator[Sample]:
        """In the order of the file: sorted by task, problem and repeat once the evaluation is complete."""
        return _lines(self.file(SAMPLES), Sample)

    def problems(self) -> Iterator[Referenced]:
        return _lines(self.file(PROBLEMS), Referenced)

    def times(self) -> Iterator[Times]:
        return _lines(self.file(TIMES), Times)


def _lines(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a file of JSON lines. Raises `ConfigError` with file and line for one that does not fit."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                raise ConfigError(f"{path}:{number} is damaged: {error.errors(include_url=False)[0]['msg']}") from error
