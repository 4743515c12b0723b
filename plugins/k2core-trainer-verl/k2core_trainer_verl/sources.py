"""The rows of a run: from tasks, and from files of conversations. verl's own environment makes Parquet files of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from k2core_training.data.chats import Unusable, chat_of
from k2core_training.data.config import DataOptions
from k2core_training.data.rows import expand
from k2core_training.data.rows import rows as read
from k2core_training.data.skips import Skips

from k2core.errors import ConfigError
from k2core.types import Task

from .config import VerlConfig
from .rows import graded, prompting, rows


class Sources(NamedTuple):
    """What is trained on, or measured on."""

    lines: Path
    """JSONL to be turned into Parquet."""
    written: int
    """Lines in it."""
    parquet: list[str]
    """Files that are used as they are; absolute paths."""

    @property
    def empty(self) -> bool:
        return not (self.written or self.parquet)


def gather(
    config: VerlConfig, folder: Path, tasks: Sequence[Task], pipeline: Mapping[str, Any], path: str, skips: Skips
) -> dict[str, Sources]:
    """Write the rows of both splits, `train` and `validation`, into `folder`. What is left out is in `skips`.

    Raises `ConfigError` where nothing is left to train on, or to validate on if that is asked for, or a file cannot be used.
    """
    files = {"train": config.data.files, "validation": config.data.validation}
    if config.stage == "sft":
        found = {split: _conversations(config, folder, split, files[split], path, skips) for split in files}
    else:
        found = _problems(config, folder, tasks, files, pipeline, path, skips)
    if found["train"].empty:
        wanted = "conversations" if config.stage == "sft" else "tasks with references, or rows of files"
        raise ConfigError(f"there is nothing to train on: no {wanted}", f"{path}.data.files")
    if config.data.validate_every and found["validation"].empty:
        wanted = "data.validation" if config.stage == "sft" else "data.validation, or hold tasks with tasks.held"
        raise ConfigError(f"there is nothing to validate on; give {wanted}", f"{path}.data.validate_every")
    return found


def _problems(
    config: VerlConfig,
    folder: Path,
    tasks: Sequence[Task],
    files: Mapping[str, Sequence[str]],
    pipeline: Mapping[str, Any],
    path: str,
    skips: Skips,
) -> dict[str, Sources]:
    kept, without = graded(tasks)
    for task in without:
        skips.add("no reference", task.problem.id)
    own = {name: getattr(config, name) for name in ("system", "instructions", "examples")}
    prompt = prompting(pipeline.get("sampler") or {}, own)
    parts: dict[str, list[Task]] = {"train": [], "validation": []}
    for task in kept:
        parts["validation" if task.meta.get("split") == "validation" else "train"].append(task)
    found = {}
    for split, part in parts.items():
        lines = folder / f"{split}.jsonl"
        found[split] = Sources(lines, write_lines(lines, rows(part, split, prompt)), _parquet_only(files[split], split, path))
    return found


def _parquet_only(patterns: Sequence[str], split: str, path: str) -> list[str]:
    where = f"{path}.data.{'files' if split == 'train' else split}"
    found = [file.absolute() for file in expand(patterns, where)]
    for file in found:
        if file.suffix != ".parquet":
            raise ConfigError(f"{file} is no Parquet file; other rows come as tasks", where)
    return [str(file) for file in found]


def _conversations(config: VerlConfig, folder: Path, split: str, patterns: Sequence[str], path: str, skips: Skips) -> Sources:
    where = f"{path}.data.{'files' if split == 'train' else split}"
    files = [file.absolute() for file in expand(patterns, where)]
    ready, other = [str(f) for f in files if f.suffix == ".parquet"], [f for f in files if f.suffix != ".parquet"]
    if ready and other and config.data.messages != "messages":
        raise ConfigError("conversations from other files get the column `messages`; turn all or none", f"{path}.data.messages")
    lines = folder / f"{split}.jsonl"
    return Sources(lines, write_lines(lines, _turned(other, DataOptions(layout=config.data.layout), skips)), ready)


def _turned(files: Sequence[Path], options: DataOptions, skips: Skips) -> Iterator[dict[str, Any]]:
    for row in read(files):
        if row.fault:
            skips.add(row.fault, row.place, row.detail)
            continue
        try:
            chat = chat_of(row.value, row.place, options)
        except Unusable as error:
            skips.add(str(error), row.place, error.detail)
        else:
            yield {"messages": [{"role": turn.role, "content": turn.content} for turn in chat.messages]}


def write_lines(path: Path, made: Iterable[Mapping[str, Any]]) -> int:
    """One JSON object a line; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in made:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count
