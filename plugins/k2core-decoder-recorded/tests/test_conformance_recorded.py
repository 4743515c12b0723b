"""The rules of the roles, by k2core's own kit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from k2core_decoder_recorded import Recorded, RecordedTasks

from k2core import Problem
from k2core.testing import assert_conforms

TEXT = "First take the tens, then the ones, and put both together: the answer is \\boxed{42}."


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "stored.jsonl"
    rows = [{"pid": "p", "problem": "17 + 25?", "gold": "42", "completion": f"{i}. {TEXT}"} for i in range(200)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.mark.parametrize("order", ["file", "shuffle"])
def test_decoder_conforms(path: str, order: str) -> None:
    assert_conforms("decoder", Recorded, {"path": path, "order": order}, problem=Problem(id="p", prompt="17 + 25?"))


def test_tasks_conform(path: str) -> None:
    assert_conforms("tasks", RecordedTasks, {}, dataset=(path, "test"))
