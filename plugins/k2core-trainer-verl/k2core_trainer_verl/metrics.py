"""What verl has measured, from the file that it writes step by step, under the names that all trainers use and under its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

NAMES: Mapping[str, str] = {
    "critic/rewards/mean": "reward",
    "response_length/mean": "response_length",
    "actor/entropy": "entropy",
    "actor/pg_loss": "loss",
    "actor/pg_clipfrac": "clipped",
    "actor/grad_norm": "grad_norm",
    "actor/lr": "lr",
    "train/loss": "loss",
    "train/grad_norm": "grad_norm",
    "train/lr": "lr",
    "train/global_tokens": "tokens",
    "timing_s/step": "step_seconds",
    "perf/throughput": "tokens_per_second",
    "perf/total_num_tokens": "tokens",
}
"""verl's names, and the trainers' own."""


class Tail:
    """The whole lines that a file grows by, from a place in it on; it may not be there yet."""

    def __init__(self, path: Path, begin: int = 0) -> None:
        self._path, self._at, self._rest = path, begin, b""

    def lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
        except FileNotFoundError:
            return
        self._at += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        yield from (line for line in whole if line.strip())


def measured(line: bytes) -> tuple[int, dict[str, float]]:
    """Step and values of a line of verl's file logger. Raises `ValueError` for another kind of line."""
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("data"), dict) or not isinstance(row.get("step"), int):
        raise ValueError(f"{line[:80]!r} is no line of verl's metrics")
    values = {name: float(value) for name, value in row["data"].items() if isinstance(value, int | float)}
    common = {ours: values[theirs] for theirs, ours in NAMES.items() if theirs in values}
    return row["step"], common | values


def steps_until(path: Path, step: int) -> int:
    """Bytes of `metrics.jsonl` up to the last line whose step is at most `step`: where a resumed run goes on."""
    end = at = 0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            at += len(line)
            try:
                if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                    end = at
            except (ValueError, KeyError, TypeError):
                continue
    return end


class Following:
    """Called again and again while verl runs: tells new steps, once each, new checkpoints, and what could not be graded."""

    def __init__(
        self,
        source: Path,
        checkpoints: Path,
        errors: Path,
        stepped: Callable[[int, dict[str, float]], Any],
        saved: Callable[[int, str], Any],
        failed: Callable[[int, tuple[str, ...]], Any],
    ) -> None:
        self._tail, self._checkpoints, self._stepped, self._saved = Tail(source), checkpoints, stepped, saved
        earlier = errors.stat().st_size if errors.exists() else 0
        self._errors, self._failed, self._count, self._first = Tail(errors, earlier), failed, 0, list[str]()
        self._newest = newest(checkpoints)[0]
        self.last: dict[str, float] = {}
        """The newest value of each metric."""
        self.step = self._newest

    def look(self) -> None:
        if lines := list(self._errors.lines()):
            self._count += len(lines)
            self._first += [line.decode("utf-8", "replace")[:500] for line in lines[: 5 - len(self._first)]]
            self._failed(self._count, tuple(self._first))
        for line in self._tail.lines():
            step, values = measured(line)
            self.last |= values
            self.step = max(step, self.step)
            self._stepped(step, values)
        step, path = newest(self._checkpoints)
        if step > self._newest:
            self._newest = step
            self._saved(step, str(path))


def newest(checkpoints: Path) -> tuple[int, Path]:
    """Step and folder of the newest whole checkpoint, which verl names once all of it is written; step 0 where there is none."""
    try:
        step = int((checkpoints / "latest_checkpointed_iteration.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0, checkpoints
    folder = checkpoints / f"global_step_{step}"
    return (step, folder) if folder.is_dir() else (0, checkpoints)
