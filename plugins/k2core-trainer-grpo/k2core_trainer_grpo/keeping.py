"""What a training leaves on the disk besides metrics and checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from k2core_training.errors import DiskError
from k2core_training.saving import replacing

from .rollouts import Sample


class Samples:
    """`samples.jsonl`: some completions of each step, for people to read."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "samples.jsonl"
        try:
            self._file: IO[bytes] = self.path.open("ab", buffering=0)
        except OSError as error:
            raise DiskError(f"cannot write {self.path}: {error.strerror or error}") from error

    def cut(self, at: int) -> None:
        """Forget what follows so many bytes; a file that somebody has shortened stays as it is."""
        self._file.truncate(min(at, self.offset))

    @property
    def offset(self) -> int:
        return self.path.stat().st_size

    def add(self, step: int, samples: Sequence[Sample]) -> None:
        """Raises `DiskError` for a disk that is full; no part of a line is left then."""
        lines = [json.dumps({"step": step, **_told(sample)}, ensure_ascii=False) + "\n" for sample in samples]
        data, before = "".join(lines).encode("utf-8", "replace"), self.offset
        try:
            if self._file.write(data) != len(data):
                raise OSError(0, "no room for a whole line")
        except OSError as error:
            os.truncate(self.path, before)
            raise DiskError(f"cannot write {self.path}: {error.strerror or error}; make room, and resume") from error

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _told(sample: Sample) -> dict[str, Any]:
    return {
        "problem": sample.task.problem.id,
        "domain": sample.task.problem.domain,
        "question": sample.task.problem.text,
        "text": sample.text,
        "answer": sample.answer,
        "tokens": len(sample.ids),
        "finish": sample.finish,
        "score": sample.score,
        "reward": sample.reward,
        "advantage": round(sample.advantage, 6),
    }


def write_weights(policy: Any, weights: Mapping[str, Any], folder: Path) -> Path:
    """The whole model with what was trained merged, as transformers saves one, for a decoder that reads it; whole or not at all."""
    from safetensors.torch import save_file

    with replacing(folder) as scratch:
        policy.base.config.save_pretrained(str(scratch))
        policy.tokenizer.save_pretrained(str(scratch))
        try:
            save_file(
                {name: array.contiguous() for name, array in weights.items()}, str(scratch / "model.safetensors"), {"format": "pt"}
            )
        except Exception as error:  # safetensors has errors of its own for a full disk
            raise OSError(0, " ".join(str(error).split())[:300]) from error
    return folder
