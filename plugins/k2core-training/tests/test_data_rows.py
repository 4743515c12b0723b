"""Rows of every format, and every way in which one can be unusable."""

from __future__ import annotations

import gzip
import json
import math
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from k2core_training.data.chats import Unusable, chat_of
from k2core_training.data.config import DataOptions
from k2core_training.data.rows import expand, rows

from k2core.errors import ConfigError

ASKED, ANSWERED = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
THOUGHT = "<think>\nTwo and two.\n</think>\n<answer>4</answer>"


def chat(value: Any, **options: Any) -> Any:
    return chat_of(value, "f.jsonl:1", DataOptions(**options))


def turns(value: Any, **options: Any) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in chat(value, **options).messages]


USUAL = [("user", "2+2?"), ("assistant", "4")]
GURU = {"data_source": "x", "prompt": [ASKED], "reward_model": {"ground_truth": "4"}}
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("row", "reference", "domain"),
    [
        ({"messages": [ASKED, ANSWERED], "answer": 4, "domain": "math"}, "4", "math"),
        ({"messages": json.dumps([ASKED, ANSWERED])}, None, "general"),
        ({"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}, None, "general"),
        (
            {
                "conversations": [
                    {"from": "human", "value": "2+2?", "info": {"category": "math", "ground_truth": "4"}},
                    {"from": "assistant", "value": "4", "info": {"think_content": "", "answer_content": "4", "verify_score": 1.0}},
                ]
            },
            "4",
            "math",
        ),
        (
            {
                "data_source": "math__deepscaler",
                "prompt": [ASKED],
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": "4"},
                "extra_info": {"split": "train", "index": 0, "response": "4"},
            },
            "4",
            "math",
        ),
        (
            {"prompt": [ASKED], "data_source": "x", "reward_model": {"ground_truth": ["4", "5"]}, "response": "4"},
            '["4", "5"]',
            "general",
        ),
        ({"problem": "2+2?", "solution": "4", "answer": "4"}, "4", "general"),
    ],
)
def test_formats_are_told_by_their_fields(row: dict[str, Any], reference: str | None, domain: str) -> None:
    made = chat(row)
    assert turns(row) == USUAL
    assert (made.reference, made.domain, made.place) == (reference, domain, "f.jsonl:1")


def test_reasoning_of_its_own_field_goes_before_the_answer() -> None:
    row = {"messages": [ASKED, {**ANSWERED, "reasoning_content": "Two and two. "}]}
    assert turns(row)[1][1] == "<think>\nTwo and two.\n</think>\n\n4"


def test_the_layout_of_answers() -> None:
    laid = {"messages": [ASKED, {"role": "assistant", "content": "<think>Two and two.</think>  4 "}]}
    tagged = {"messages": [ASKED, {"role": "assistant", "content": "<think> Two and two.</think> <answer>4</answer>\n"}]}
    for row in (laid, tagged):
        assert turns(row, layout="think-answer")[1][1] == "<think>\nTwo and two.\n</think>\n<answer>\n4\n</answer>"
        assert turns(row)[1][1] == row["messages"][1]["content"]


def test_a_system_message_and_turns_after_the_last_answer() -> None:
    row = {"messages": [ASKED, ANSWERED, {"role": "user", "content": "and 3+3?"}]}
    assert turns(row, system="Think.") == [("system", "Think."), *USUAL]
    given = {"messages": [{"role": "system", "content": "Own."}, ASKED, ANSWERED]}
    assert turns(given, system="Think.")[0] == ("system", "Own.")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": [ASKED], "completion": [ANSWERED]}, USUAL),
        ({"prompt": "2+2?", "response": [ANSWERED]}, USUAL),
        ({**GURU, "extra_info": {"response": [ANSWERED]}}, USUAL),
        ({"prompt": "2+2?", "response": "[4]"}, [USUAL[0], ("assistant", "[4]")]),
        ({"instruction": "2+2?", "input": "", "output": "4"}, USUAL),
        ({"instruction": "Add.", "input": "2+2?", "output": "4"}, [("user", "Add.\n\n2+2?"), USUAL[1]]),
        ({"prompt": "2+2?", "input": {"other": 1}, "output": "4"}, USUAL),
    ],
)
def test_prompts_and_responses_are_texts_or_turns(row: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert turns(row) == expected


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "response": math.nan},
        {"prompt": "hi", "response": 5},
        {"prompt": "hi", "response": ["2", "3"]},
        {"prompt": "hi", "response": {"text": "4"}},
        {"prompt": {"text": "hi"}, "response": "4"},
        {"prompt": 0, "response": "4"},
        {**GURU, "response": 5},
        {"instruction": "Add.", "input": ["2", "2"], "output": "4"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}, ANSWERED]},
    ],
)
def test_what_is_neither_text_nor_turns_is_malformed(row: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="malformed") as caught:
        chat(row)
    assert caught.value.detail


@pytest.mark.parametrize(
    "row",
    [
        {"messages": DEEP},
        {"conversations": [{"from": "human", "value": "2+2?", "info": DEEP}, {"from": "gpt", "value": "4"}]},
        {**GURU, "response": "4", "extra_info": DEEP},
        {"messages": [ASKED, ANSWERED], "answer": Decimal("1.5")},
        {"messages": [ASKED, ANSWERED], "target": b"4"},
        {**GURU, "response": "4", "reward_model": {"ground_truth": {"a": b"4"}}},
    ],
)
def test_a_field_that_cannot_be_read_costs_its_row_only(row: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="malformed") as caught:
        chat(row)
    assert caught.value.detail


@pytest.mark.parametrize(
    ("row", "reason", "options"),
    [
        ([1], "malformed", {}),
        ({"text": "x"}, "malformed", {}),
        ({"messages": []}, "malformed", {}),
        ({"messages": []}, "empty", {"format": "messages"}),
        ({"messages": [1]}, "malformed", {}),
        ({"messages": [{"role": "robot", "content": "x"}]}, "malformed", {}),
        ({"messages": [ASKED, {"role": "assistant", "content": None}]}, "malformed", {}),
        ({"messages": [ASKED]}, "no assistant turn", {}),
        ({"messages": [ANSWERED, ASKED, ANSWERED]}, "malformed", {}),
        ({"messages": [ASKED, {"role": "assistant", "content": " \n"}]}, "empty", {}),
        ({"messages": [{"role": "user", "content": ""}, ANSWERED]}, "empty", {}),
        ({"messages": [ASKED, {"role": "assistant", "content": "a\0b"}]}, "malformed", {}),
        ({"messages": [ASKED, {"role": "assistant", "content": "\ud800"}]}, "bad UTF-8", {}),
        ({"messages": [ASKED, ANSWERED]}, "malformed", {"layout": "think-answer"}),
        ({"messages": [ASKED, {"role": "assistant", "content": "<think> </think>4"}]}, "malformed", {"layout": "think-answer"}),
        ({"prompt": [ASKED], "reward_model": {"ground_truth": "4"}}, "no assistant turn", {}),
        ({"prompt": "", "response": "4"}, "empty", {}),
    ],
)
def test_rows_that_cannot_be_used(row: Any, reason: str, options: dict[str, Any]) -> None:
    with pytest.raises(Unusable) as caught:
        chat(row, **options)
    assert str(caught.value) == reason


def test_files_of_every_kind(tmp_path: Path) -> None:
    lines = b'\xef\xbb\xbf{"a": 1}\n\n{"a": \xff}\n{"a": 2\n{"a": 3}'
    (tmp_path / "a.jsonl").write_bytes(lines)
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as file:
        file.write(b'{"a": 4}\n')
    (tmp_path / "c.json").write_text('[{"a": 5}, {"a": 6}]')
    (tmp_path / "d.jsonl.gz").write_bytes(b"no gzip")
    found = list(rows(expand([str(tmp_path)])))
    assert [row.value["a"] for row in found if not row.fault] == [1, 3, 4, 5, 6]
    said = [(Path(row.file).name, row.number, row.fault) for row in found if row.fault]
    assert said == [("a.jsonl", 3, "bad UTF-8"), ("a.jsonl", 4, "malformed"), ("d.jsonl.gz", 1, "unreadable")]
    assert found[0].place == f"{tmp_path}/a.jsonl:1"


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.data\.files: there is no file"):
        expand([str(tmp_path / "none.jsonl")])
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(ConfigError, match=r"a\.csv is not of a kind"):
        expand([str(tmp_path / "a.csv")])


def test_parquet_as_guru_has_it(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    row = {
        "data_source": "math", "prompt": [ASKED], "ability": "math", "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {"index": 1, "response": "4"},
    }  # fmt: skip
    parquet.write_table(pyarrow.Table.from_pylist([row] * 3), tmp_path / "guru.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    found = list(rows(expand([str(tmp_path / "guru.parquet"), str(tmp_path / "bad.parquet")])))
    assert [turns(r.value) for r in found[:3]] == [USUAL] * 3
    assert found[3].fault == "unreadable"


def test_parquet_without_pyarrow_is_told_by_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"^trainer\.replay\.files: reading .*needs pyarrow"):
        next(rows([tmp_path / "a.parquet"], "trainer.replay.files"))
