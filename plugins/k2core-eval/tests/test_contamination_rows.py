"""Training data in every shape, and what happens to damaged ones."""

import gzip
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from k2core_eval.contamination import rows as reading
from k2core_eval.contamination.index import Item
from k2core_eval.contamination.rows import batches, expand, parse, sample, text_of
from k2core_eval.contamination.scan import scan_files

from k2core.errors import ConfigError

DUCKS = (
    "Marta keeps 14 ducks behind the mill. Each duck lays 3 eggs a week. Marta gives 8 eggs to her neighbour, and sells what is "
    "left at the harbour for 2 dollars an egg. How many dollars does Marta earn at the harbour every week?"
)
SHAPES: tuple[Any, ...] = (
    {"messages": [{"role": "user", "content": DUCKS}, {"role": "assistant", "content": "It is 68."}]},
    {"conversations": [{"from": "human", "value": DUCKS}, {"from": "gpt", "value": "It is 68."}]},
    {"data_source": "x", "prompt": [{"role": "user", "content": DUCKS}], "reward_model": {"style": "rule", "ground_truth": "68"}},
    {"prompt": DUCKS},
    {"whatever": {"deep": [{"in": ["it", DUCKS]}]}},
    {"messages": json.dumps([{"role": "user", "content": DUCKS}])},
    DUCKS,
    [DUCKS],
)


def texts(path: Path, fields: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    return [(row.number, row.text) for batch in batches(path) for row in parse(batch, fields)[0]]


def found_in(path: Path, jobs: int = 1, fields: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    report = scan_files([Item("t", 0, "ducks", DUCKS)], expand([str(path)]), fields, jobs)
    return [(Path(match.file).name, match.row) for one in report.found for match in one.matches]


@pytest.mark.parametrize("row", SHAPES)
def test_a_problem_is_found_in_a_row_of_any_shape(tmp_path: Path, row: Any) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in ({"text": "Nothing here."}, row)))
    assert found_in(path) == [("train.jsonl", 2)]


def test_every_kind_of_file_in_a_folder(tmp_path: Path) -> None:
    line = json.dumps({"question": DUCKS})
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jsonl").write_text(line + "\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write("\n" + line)
    (tmp_path / "c.json").write_text(json.dumps([{"x": 1}, {"question": DUCKS}]))
    (tmp_path / "d.json").write_text(json.dumps({"train": [{"question": DUCKS}]}))
    (tmp_path / "e.txt").write_text("line\n" * 30_000 + DUCKS + "\nline" * 9)
    (tmp_path / "ignored.bin").write_bytes(b"\0")
    report = scan_files([Item("t", 0, "ducks", DUCKS)], expand([str(tmp_path)]))
    assert report.training.files == 5
    (one,) = report.found
    assert one.rows >= 5
    assert found_in(tmp_path / "c.json") == [("c.json", 2)]
    (row,) = {row for _, row in found_in(tmp_path / "e.txt")}
    assert 1 < row <= 30_001
    assert expand([str(tmp_path / "*.json")]) == [tmp_path / "c.json", tmp_path / "d.json"]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "train.parquet"
    parquet.write_table(
        pyarrow.Table.from_pylist([{"prompt": [{"role": "user", "content": text}]} for text in ("no", DUCKS)]), path
    )
    assert found_in(path) == [("train.parquet", 2)]


def test_only_the_field_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"meta": {"old": DUCKS}, "text": "Nothing."}) + "\n")
    assert found_in(path, fields=("text",)) == []
    assert found_in(path, fields=("meta.old",)) == [("train.jsonl", 1)]


def test_damaged_rows_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    good = json.dumps({"text": DUCKS}).encode()
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"text": "cut\n\n' + b"\xff\xfe\n" + good + b"\n" + b"[" * 100_000 + b"\n" + b'{"text": "\\ud800"}\n' + good)
    whole = gzip.compress(good + b"\n" + random.Random(1).randbytes(200_000).hex().encode())
    (tmp_path / "short.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bad.json").write_text('[{"text": "a"}, {"text": ')
    report = scan_files([Item("t", 0, "ducks", DUCKS)], expand([str(tmp_path)]))
    assert report.found[0].rows >= 2
    assert report.training.damaged >= 5
    told = " ".join(report.training.examples)
    assert f"{path}:1:" in told
    assert f"{path}:3:" in told
    assert "bad.json: element 2 of the array is damaged" in told
    assert "short.jsonl.gz" in told


def test_any_number_of_processes_finds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [{"text": DUCKS.replace("14", str(i)) if i % 100 == 0 else f"Row {i} is about {i} other things."} for i in range(2500)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    items = [Item("t", 0, "ducks", DUCKS)]
    one, three = (scan_files(items, [path], jobs=jobs) for jobs in (1, 3))
    assert one == three
    assert one.model_dump_json() == three.model_dump_json()
    assert (one.found[0].rows, one.training.rows, one.training.damaged) == (25, 2500, 1)


def test_an_array_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train.json"
    values = [{"text": f"Grüße {i} " + "x" * (i % 50)} for i in range(500)] + [1234567, "end"]
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1))
    monkeypatch.setattr(reading, "BYTES", 37)
    assert texts(path) == [(i, text_of(value)) for i, value in enumerate(values, 1)]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS", 50)
    path = tmp_path / "train.jsonl"
    peaks = []
    for count in (500, 2_500):
        rows = (DUCKS if i % 50 == 0 else f"Row {i} is about {i} other things, and only about them." * 5 for i in range(count))
        path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
        tracemalloc.start()
        scan_files([Item("t", 0, "ducks", DUCKS)], [path])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("name", ["missing.jsonl", "*.jsonl", "empty"])
def test_data_that_are_not_there_are_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="there is no such file"):
        expand([str(tmp_path / name)])


def test_an_unknown_kind_of_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.zst").write_bytes(b"x")
    with pytest.raises(ConfigError, match="not of a kind that can be read"):
        expand([str(tmp_path / "train.zst")])


def test_the_sample_takes_of_every_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"t": f"{name}{i}"}) + "\n" for i in range(100)))
    taken = sample(expand([str(tmp_path)]), rows=20)
    assert [text[0] for text in taken] == ["a"] * 10 + ["b"] * 10
