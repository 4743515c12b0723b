"""The task source, with files made here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_recorded import RecordedTasks
from k2core_decoder_recorded.tasks import RecordedTasksConfig

from k2core import PipelineConfig, PluginError, Runtime

ROWS = [
    {"pid": pid, "problem": f"What is {pid}?", "gold": "GOLD", "completion": f"{pid} try {i}"}
    for pid in ("p1", "p2")
    for i in range(4)
]


def write(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tasks_config(path: Path, **options: Any) -> PipelineConfig:
    decoders = {"solver": {"use": "recorded", "path": str(path)}}
    return PipelineConfig.from_dict({"decoders": decoders, "tasks": {"recorded": options}})


def test_tasks_are_the_problems_once_each(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", ROWS)
    runtime = Runtime(tasks_config(path))
    found = list(runtime.tasks("recorded", str(path)))
    assert [(t.problem.id, t.problem.text, t.reference) for t in found] == [
        ("p1", "What is p1?", "GOLD"),
        ("p2", "What is p2?", "GOLD"),
    ]
    assert all("GOLD" not in t.problem.model_dump_json() for t in found)
    assert [t.problem.id for t in runtime.tasks("recorded", str(path), limit=1)] == ["p1"]


def test_tasks_of_other_forms_and_splits(tmp_path: Path) -> None:
    rows = [
        {"name": "a", "prompt": "def f():", "samples": [], "split": "train"},
        {"name": "b", "prompt": "def g():", "samples": [], "split": "test"},
        {"name": "c", "prompt": "def h():", "answer": 3},
    ]
    path = write(tmp_path / "s.jsonl", rows)
    options = {"id_field": "name", "gold_field": "answer", "domain": "code", "answer_format": "code"}
    found = list(Runtime(tasks_config(path, **options)).tasks("recorded", str(path), split="test"))
    assert [(t.problem.id, t.reference) for t in found] == [("b", None), ("c", "3")]
    assert {(t.problem.domain, t.problem.answer_format) for t in found} == {("code", "code")}


def test_tasks_name_a_bad_line(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", [{"pid": "a", "problem": ""}])
    with pytest.raises((PluginError, ValueError), match=r"s\.jsonl:1: "):
        list(Runtime(tasks_config(path)).tasks("recorded", str(path)))


def test_a_file_is_read_lazily(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", ROWS[:1])
    path.write_text(path.read_text() + "{\n")
    assert len(list(Runtime(tasks_config(path)).tasks("recorded", str(path), limit=1))) == 1


def test_the_card_says_what_grades() -> None:
    maths = RecordedTasks().benchmark("some/stored.jsonl")
    assert (maths.name, maths.title, maths.grader.use, maths.answer_format) == (
        "recorded:some/stored.jsonl", "stored.jsonl", "math", "boxed",
    )  # fmt: skip
    code = RecordedTasks(RecordedTasksConfig(domain="code", answer_format="code")).benchmark("stored.jsonl")
    assert (code.grader.use, code.answer_format) == ("code", "code")
