"""Files, filters, ids: what is read, what is refused, and that nothing is left out in silence."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import tracemalloc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from k2core_eval.tasks.any_jsonl import JsonlConfig, JsonlTasks
from k2core_eval.tasks.filters import at_level
from k2core_eval.tasks.rows import Row, read

from k2core import ConfigError, Task
from k2core.testing import assert_conforms

ROWS: list[dict[str, Any]] = [
    {"id": f"q{n}", "problem": f"What is {n} + {n}?", "answer": str(2 * n), "level": n % 5 + 1, "date": f"2024-0{n % 9 + 1}-10"}
    for n in range(30)
]


def file(path: Path, rows: list[dict[str, Any]] | str, name: str = "some.jsonl") -> Path:
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    target = path / name
    target.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return target


def tasks(path: Path, split: str = "test", limit: int | None = None, seed: int = 0, **options: Any) -> list[Task]:
    plugin = JsonlTasks(JsonlConfig.model_validate(options))
    return list(plugin.k2_tasks(name=str(path), split=split, limit=limit, seed=seed))


def ids(found: list[Task]) -> list[str]:
    return [task.problem.id for task in found]


def test_files_conform(tmp_path: Path) -> None:
    file(tmp_path, ROWS, "some.jsonl.gz")
    assert_conforms("tasks", JsonlTasks, {"data": str(tmp_path)}, dataset=("some.jsonl.gz", "test"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"problem": "a?", "answer": "1"}\n\n{"problem": ', r"some\.jsonl:3: is no JSON"),
        ("[1, 2]\n", r"some\.jsonl:1: must be an object, not \[1, 2\]"),
        ('{"problem": "a?"}\n', r"some\.jsonl:1: no answer; wanted answer or gold or .*found the fields problem"),
        (
            '{"text_of_it": "a?", "answer": 1}\n',
            r"some\.jsonl:1: no problem; wanted problem or question .*fields text_of_it, answer",
        ),
        ('{"problem": {"a": 1}, "answer": 1}\n', r"some\.jsonl:1: the problem must be text or a list of messages"),
        ('{"problem": "a\\u0000", "answer": 1}\n', r"some\.jsonl:1: the problem contains a NUL character"),
        (
            '{"problem": "a?", "answer": 1, "answer_format": "bocks"}\n',
            r"some\.jsonl:1: answer_format must be one of .*not 'bocks'",
        ),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tasks(file(tmp_path, text))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*absent\.jsonl; name one as jsonl:FILE"):
        tasks(tmp_path / "absent.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"problem": "a?", "answer": "1"}\n' * 1000)[:-12])
    with pytest.raises(ConfigError, match=r"cannot read .*cut\.jsonl\.gz"):
        tasks(tmp_path / "cut.jsonl.gz")
    (tmp_path / "latin.jsonl").write_bytes('{"problem": "größer?", "answer": "1"}'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.jsonl:1: is no UTF-8"):
        tasks(tmp_path / "latin.jsonl")


def test_an_id_that_occurs_twice_is_an_error_with_both_lines(tmp_path: Path) -> None:
    rows = [*ROWS[:3], {"id": "q1", "problem": "Another?", "answer": "0"}]
    with pytest.raises(ConfigError, match=r"some\.jsonl:4: the id 'q1' is that of .*some\.jsonl:2 already"):
        tasks(file(tmp_path, rows))


def test_texts_that_occur_twice_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = tasks(file(tmp_path, [*ROWS, {**ROWS[0], "id": "again"}]))
    assert len(found) == len(ROWS) + 1
    assert "duplicate_problems" in caplog.text


def test_aliases_numbers_and_ids(tmp_path: Path) -> None:
    rows = [{"prompt": "a?", "gold": 0.5}, {"question": "b?", "final_answer": 12}, {"problem": "c?", "answer": [1, 2], "id": 7}]
    found = tasks(file(tmp_path, rows))
    assert [(t.problem.id, t.problem.prompt, t.reference) for t in found] == [
        ("some-0", "a?", "0.5"), ("some-1", "b?", "12"), ("some-7", "c?", "[1, 2]"),
    ]  # fmt: skip


def test_what_is_not_asked_for_stays_with_the_scorer(tmp_path: Path) -> None:
    row = {"id": "x", "problem": "a?", "answer": "1", "solution": "It is 1.", "hint": "one", "topic": "sums"}
    (task,) = tasks(file(tmp_path, [row]))
    assert task.problem.meta == {}
    assert task.meta == {"solution": "It is 1.", "hint": "one", "topic": "sums"}
    (task,) = tasks(file(tmp_path, [row]), meta_fields=["topic"])
    assert task.problem.meta == {"topic": "sums"}


def test_templates(tmp_path: Path) -> None:
    row = {"id": "x", "problem": "Is {a} + \\frac{1}{2} more?", "answer": "1", "a": "2"}
    path = file(tmp_path, [row])
    (task,) = tasks(path, prompt="With {a}: {problem} {unknown}")
    assert task.problem.prompt == "With 2: Is {a} + \\frac{1}{2} more? {unknown}"
    with pytest.raises(ConfigError, match="template shows answer, which is or holds the answer"):
        tasks(path, prompt="{problem} ({answer})")


def test_chats_and_choices(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "chat", "messages": [{"role": "user", "content": "a?"}], "answer": "1"},
        {"id": "verl", "prompt": [{"role": "user", "content": "b?"}], "answer": "1"},
        {"id": "choice", "problem": "c?", "choices": ["no", "yes"], "answer": "yes"},
    ]
    chat, verl, choice = tasks(file(tmp_path, rows))
    assert chat.problem.messages[0].content == "a?"
    assert verl.problem.messages[0].content == "b?"
    assert (choice.problem.prompt, choice.reference, choice.problem.answer_format) == ("c?\n\n(A) no\n(B) yes", "B", "choice")


def test_windows(tmp_path: Path) -> None:
    path = file(tmp_path, ROWS)
    found = tasks(path, since="2024-02-10", until="2024-03-10")
    assert ids(found) == [row["id"] for row in ROWS if row["date"] in ("2024-02-10", "2024-03-10")]
    undated = file(tmp_path, [*ROWS[:1], {"id": "u", "problem": "undated?", "answer": "1"}], "undated.jsonl")
    with pytest.raises(ConfigError, match=r"undated\.jsonl:2: has no date"):
        tasks(undated, since="2024-01-01")
    assert len(tasks(undated)) == 2


@pytest.mark.parametrize(
    ("value", "day"), [("2024-07-01T00:00:00", date(2024, 7, 1)), (1705804200, date(2024, 1, 21)), ("2024-07-01", date(2024, 7, 1))]
)
def test_dates(value: Any, day: date) -> None:
    assert Row({"contest_date": value}, "here", 0).day == day


def test_dates_that_are_none() -> None:
    with pytest.raises(ConfigError, match="here: 'July' is no ISO date"):
        _ = Row({"date": "July"}, "here", 0).day


@pytest.mark.parametrize(
    ("level", "wanted", "fits"),
    [
        (5, "5", True), ("Level 5", "5", True), ("5.0", "4-5", True), (9.5, "9+", True), (8.5, "9+", False), ("hard", "Hard", True),
        ("easy", "hard", False), (3, "4..5", False),
    ],
)  # fmt: skip
def test_levels(level: Any, wanted: str, fits: bool) -> None:
    assert at_level(Row({"level": level}, "here", 0), [wanted]) == fits


def test_levels_and_subjects_that_rows_do_not_have() -> None:
    with pytest.raises(ConfigError, match="here: has no level"):
        at_level(Row({}, "here", 0), ["5"])


def test_splits(tmp_path: Path) -> None:
    rows = [{**row, "split": "train" if place % 2 else "test"} for place, row in enumerate(ROWS)]
    path = file(tmp_path, rows)
    assert ids(tasks(path, "train")) == [row["id"] for row in ROWS[1::2]]
    assert len(tasks(file(tmp_path, ROWS, "none.jsonl"), "train")) == len(ROWS)


def test_order_is_the_files_or_the_seeds(tmp_path: Path) -> None:
    path, names = file(tmp_path, ROWS), [row["id"] for row in ROWS]
    assert ids(tasks(path, seed=3)) == names
    one, same, other = (ids(tasks(path, shuffle=True, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert sorted(one) == sorted(names)
    assert ids(tasks(path, shuffle=True, seed=1, limit=4)) == one[:4]


def test_millions_of_lines_are_not_held(tmp_path: Path) -> None:
    """6,000 rows of 4 kB each: reading all of them takes a small part of their 24 MB."""
    path, size = tmp_path / "long.jsonl", 6_000
    draw = random.Random(1)
    with path.open("w") as out:
        for n in range(size):
            out.write(json.dumps({"id": str(f"r{n}"), "problem": f"{n} {draw.random()} " + "x" * 4000, "answer": "1"}) + "\n")
    found = JsonlTasks().k2_tasks(name=str(path), split="test", limit=None, seed=0)
    next(found)
    tracemalloc.start()
    count = sum(1 for _ in found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == size - 1
    assert peak < 4_000_000  # a hash of each id and text, and no row


def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    path = file(tmp_path, "".join(json.dumps(row) + "\n" for row in ROWS) + "no JSON\n")
    assert len(tasks(path, limit=30)) == 30
    with pytest.raises(ConfigError, match="is no JSON"):
        tasks(path)


def test_files_are_closed(tmp_path: Path) -> None:
    """An iteration that is given up leaves no open file: a ResourceWarning would be an error here."""
    rows: Iterator[Row] = read(file(tmp_path, ROWS))
    list(itertools.islice(rows, 2))
    rows.close()  # type: ignore[attr-defined] # it is a generator


def test_cards_of_files(tmp_path: Path) -> None:
    code = file(
        tmp_path, [{"id": "c", "problem": "f?", "domain": "code", "answer_format": "code", "answer": {"tests": ["assert f()"]}}]
    )
    plugin = JsonlTasks()
    card = plugin.benchmark(str(code))
    assert (card.grader.use, card.domain, card.answer_format) == ("code", "code", "code")
    assert tasks(code)[0].reference == '{"tests": ["assert f()"]}'
    maths = plugin.benchmark(str(file(tmp_path, ROWS, "maths.jsonl")))
    assert (maths.grader.use, maths.title, maths.publishable) == ("math", "maths.jsonl", True)
    assert not JsonlTasks(JsonlConfig(publish=False)).benchmark(str(code)).publishable


def test_problems_without_reference(tmp_path: Path) -> None:
    path = file(tmp_path, [{"id": "x", "problem": "a?"}])
    assert tasks(path, reference=False)[0].reference is None
