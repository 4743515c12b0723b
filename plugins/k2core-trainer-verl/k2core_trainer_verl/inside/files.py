"""Parquet files as verl reads them: made of JSONL, brought into one layout where they differ, counted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..reward import PROMPT, problem_of, reference_of
from ..rows import PROBLEM, problem_json


def parquet(lines: str, target: Path, stage: str) -> list[str]:
    """The rows of a JSONL file as Parquet."""
    if not lines:
        return []
    with open(lines, encoding="utf-8") as file:
        _write(map(json.loads, file), target, stage)
    return [str(target)]


def aligned(files: Sequence[str], target: Path) -> list[str]:
    """The files as they are, where verl can load them together; else one, `target`, with all their rows in the layout of our own.

    They must have the same type in each column and field that several of them have, which references have not that are texts in one
    and lists in another. Raises `ValueError` for what is no Parquet file, and for rows that have no place in our layout.
    """
    types: dict[str, set[str]] = {}
    for file in files:
        for field in opened(file).schema_arrow:
            for path, kind in _types(field.type, field.name):
                types.setdefault(path, set()).add(kind)
    if all(len(found) == 1 for found in types.values()):
        return list(files)
    _write((_ours(row, index) for index, row in enumerate(_rows(files))), target, "rl")
    return [str(target)]


def rows_in(files: Iterable[str]) -> int:
    """How many rows the files have. Raises `ValueError` for what is no Parquet file."""
    return sum(opened(file).metadata.num_rows for file in files)


def opened(file: str) -> Any:
    """A Parquet file, of which only the schema has been read. Raises `ValueError` for another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file} is no whole Parquet file: {error}") from error


def _types(kind: Any, path: str) -> Iterator[tuple[str, str]]:
    """The types of a column and of all fields in it, by path, but for those that are empty throughout."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        yield path, "struct"
        for field in kind:
            yield from _types(field.type, f"{path}.{field.name}")
    elif pa.types.is_list(kind):
        fields = sorted(field.name for field in kind.value_type) if pa.types.is_struct(kind.value_type) else []
        yield path, f"list {fields}"  # in lists verl fills in no field that is not there
        yield from _types(kind.value_type, f"{path}[]")
    elif not pa.types.is_null(kind):
        yield path, str(kind)


def _rows(files: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every row, with its place."""
    for file in files:
        number = itertools.count(1)
        for batch in opened(file).iter_batches(batch_size=1000):
            yield from ((f"{file}:{next(number)}", row) for row in batch.to_pylist())


def _ours(placed: tuple[str, Mapping[str, Any]], index: int) -> dict[str, Any]:
    """A row in verl's layout as `rows.rows` would write it: what verifiers may look at is in the problem, references are texts."""
    place, row = placed
    try:
        source, graded, extra = str(row["data_source"]), row["reward_model"], row.get("extra_info") or {}
        prompt = [{"role": str(turn["role"]), "content": _text(turn["content"])} for turn in row["prompt"]]
        reference = reference_of(graded["ground_truth"])
        problem = problem_of(source, {**extra, PROMPT: prompt})
        return {
            "data_source": source,
            "prompt": prompt,
            "ability": str(row.get("ability") or problem.domain),
            "reward_model": {"style": str(graded.get("style") or "rule"), "ground_truth": reference},
            "extra_info": {"index": index, "split": str(extra.get("split") or ""), PROBLEM: problem_json(problem)},
        }
    except (KeyError, TypeError, AttributeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        unlike = "and the rows of the other files cannot be brought into one layout, without which verl does not load them"
        raise ValueError(f"{place} {unlike}: {why}") from error


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError("a turn of the prompt is no text")
    return content


def _write(rows: Iterable[Mapping[str, Any]], target: Path, stage: str) -> None:
    """In portions, so that memory does not grow with the rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.int64()
    message = pa.list_(pa.struct([("role", text), ("content", text)]))
    reference = pa.struct([("style", text), ("ground_truth", text)])
    extra = pa.struct([("index", number), ("split", text), (PROBLEM, text)])
    graded = {"data_source": text, "prompt": message, "ability": text, "reward_model": reference, "extra_info": extra}
    columns = graded if stage == "rl" else {"messages": message}
    rest = iter(rows)
    with pq.ParquetWriter(target, schema := pa.schema(list(columns.items()))) as writer:
        while portion := list(itertools.islice(rest, 1000)):
            writer.write_table(pa.Table.from_pylist(portion, schema))
