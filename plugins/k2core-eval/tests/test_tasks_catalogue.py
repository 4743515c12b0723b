"""The named benchmarks, on rows of the hub's layout that are made up here: prompts, references, grading."""

from __future__ import annotations

import asyncio
import base64
import gzip
import importlib.metadata
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from k2core_eval.tasks.catalogue import CLASSES, ENTRIES
from k2core_eval.tasks.naming import card_of, parse, tables
from k2core_eval.tasks.programs import unpacked
from k2core_eval.tasks.science import shuffled

from k2core import Candidate, ConfigError, PipelineConfig, Registry, Runtime, Task
from k2core.testing import Subject, assert_conforms, checks_for
from k2core.testing.report import examine

SUM = {"problem": "What is 2 + 2?", "answer": "4"}
QUESTION = {
    "Record ID": "rec1", "Question": "Which is a metal?", "Correct Answer": "iron", "Incorrect Answer 1": "sulphur",
    "Incorrect Answer 2": "argon", "Incorrect Answer 3": "iodine", "Canary String": "canary",
}  # fmt: skip
ADD = {
    "task_id": "HumanEval/0", "prompt": 'def add(a, b):\n    """The sum."""\n', "entry_point": "add",
    "canonical_solution": "    return a + b\n", "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
}  # fmt: skip
DOUBLE = {
    "task_id": 11, "text": "Write a function to double a number.", "code": "def double(x):\n    return 2 * x",
    "test_list": ["assert double(2) == 4", "assert double(-1) == -2"], "test_setup_code": "", "challenge_test_list": [],
}  # fmt: skip
PRIVATE = [{"input": "3 4\n", "output": "7\n", "testtype": "stdin"}]


def packed(data: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(data) if not isinstance(data, bytes) else data))).decode()


LIVE: dict[str, Any] = {
    "question_id": "abc_a", "question_content": "Add two numbers.", "contest_date": "2024-08-03T00:00:00", "starter_code": "",
    "difficulty": "easy", "platform": "atcoder", "metadata": "{}", "private_test_cases": packed(PRIVATE),
    "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
}  # fmt: skip
FUNCTIONAL = {
    **LIVE, "question_id": "3000", "starter_code": "class Solution:\n    def double(self, x: int) -> int:\n        ",
    "metadata": '{"func_name": "double"}', "contest_date": "2024-06-01T00:00:00",
    "public_test_cases": json.dumps([{"input": "4", "output": "8", "testtype": "functional"}]), "private_test_cases": "[]",
}  # fmt: skip


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def tasks(name: str, path: str = "", *, split: str = "test", seed: int = 0, **options: Any) -> list[Task]:
    named = parse(name)
    config = {"tasks": {name: {"use": name, **({"path": path} if path else {}), **options}}}
    return list(Runtime(PipelineConfig.from_dict(config)).tasks(named.source, named.dataset, split=split, seed=seed))


def statuses(name: str, task: Task, *texts: str) -> list[str]:
    card = ENTRIES[name].card
    config = PipelineConfig.from_dict({"verifiers": {"grader": {"use": card.grader.use, **card.grader.options}}})

    async def main() -> list[str]:
        async with Runtime(config) as runtime:
            found = [Candidate(id=str(place), text=text) for place, text in enumerate(texts)]
            return [verdict.status for verdict in await runtime.verify(task.problem, found, task.reference)]

    return asyncio.run(main())


def test_every_entry_is_an_entry_point_and_no_other_class_is() -> None:
    points = {p.name: p.value for p in importlib.metadata.entry_points(group="k2core.tasks.v1") if ".tasks.catalogue:" in p.value}
    classes = {cls.entry.card.name: f"k2core_eval.tasks.catalogue:{cls.__name__}" for cls in CLASSES.values()}
    assert points == classes
    assert set(classes) == set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_cards(name: str) -> None:
    entry, registry = ENTRIES[name], Registry()
    card = entry.card
    assert (card.name, bool(card.title), bool(card.licence), bool(card.size)) == (name, True, True, True)
    assert registry.load("verifier", card.grader.use).config_type().model_validate(dict(card.grader.options))
    assert not (card.source.gated and card.publishable)
    assert card.source.hub or card.source.files
    assert len(card.source.revision) in (0, 40)
    assert card_of(next(cls for cls in CLASSES.values() if cls.entry is entry)(), name) == card
    if "no open licence" in card.licence:
        assert not card.publishable


@pytest.mark.parametrize("name", ["gsm8k", "math-500", "gpqa-diamond", "humaneval"])
def test_they_conform(name: str, tmp_path: Path) -> None:
    rows = {
        "gsm8k": [{"question": f"What is {n} + 1?", "answer": f"One more.\n#### {n + 1}"} for n in range(12, 30)],
        "math-500": [{**SUM, "problem": f"What is {n} + {n}?", "answer": str(2 * n), "unique_id": f"m/{n}"} for n in range(20)],
        "gpqa-diamond": [{**QUESTION, "Record ID": f"r{n}", "Question": f"Which is a metal ({n})?"} for n in range(9)],
        "humaneval": [{**ADD, "task_id": f"HumanEval/{n}", "prompt": f"# {n}\n{ADD['prompt']}"} for n in range(5)],
    }[name]
    cls = next(cls for cls in CLASSES.values() if cls.entry.card.name == name)
    write(tmp_path / f"{ENTRIES[name].card.source.files[0]}.jsonl", *rows)
    subject = Subject("tasks", cls, {"data": str(tmp_path)}, dataset=(name, "test"))
    report = examine(subject, [check for check in checks_for("tasks") if not check.static])
    assert report.ok, str(report)


def test_one_keeps_all_rules(tmp_path: Path) -> None:
    """Those of classes, too, which all of the catalogue have in common: each of them costs a fresh interpreter."""
    write(tmp_path / "math500.jsonl", *({**SUM, "problem": f"What is {n} + {n}?", "unique_id": f"m/{n}"} for n in range(9)))
    cls = next(cls for cls in CLASSES.values() if cls.entry.card.name == "math-500")
    assert_conforms("tasks", cls, {"data": str(tmp_path)}, dataset=("math-500", "test"), skip={
        "grader_knows_right_from_wrong": "all these references are 4, as the rows are made up",
    })  # fmt: skip


def test_mathematics_in_the_layouts_of_the_hub(tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("aime24", {"id": 60, "problem": "a?", "solution": "\\boxed{204}"}, "aime24-60", "204"),
        ("aime25", {"problem": "a?", "answer": "70", "id": "0"}, "aime25-0", "70"),
        ("hmmt-feb25", {"problem_idx": 1, "problem": "a?", "answer": "\\frac{1}{2}"}, "hmmt-feb25-1", "\\frac{1}{2}"),
        ("amc23", {"id": 0, "question": "a?", "answer": 27.0}, "amc23-0", "27.0"),
        ("gsm8k", {"question": "a?", "answer": "2 * 500 = 1000\n#### 1,000"}, "gsm8k-0", "1000"),
        ("math-500", {**SUM, "unique_id": "test/a/1.json", "level": 2, "subject": "Algebra"}, "test/a/1.json", "4"),
    ]
    for name, row, identity, reference in cases:
        (task,) = tasks(name, write(tmp_path / "one.jsonl", row))
        assert (task.problem.id, task.reference) == (identity, reference), name
        assert statuses(name, task, f"So \\boxed{{{reference}}}.", "So \\boxed{123}.") == ["correct", "incorrect"], name


def test_omni_math_hard_is_the_hard_part(tmp_path: Path) -> None:
    rows = [{**SUM, "id": f"o{n}", "problem": f"{n}?", "difficulty": n / 2} for n in range(14, 21)]
    assert [t.problem.id for t in tasks("omni-math-hard", write(tmp_path / "o.jsonl", *rows))] == ["o18", "o19", "o20"]
    assert len(tasks("omni-math-hard", str(tmp_path / "o.jsonl"), levels=["7-8"])) == 3


def test_gpqa_orders_its_options_by_seed_and_id(tmp_path: Path) -> None:
    path = write(
        tmp_path / "g.jsonl", *({**QUESTION, "Record ID": f"r{n}", "Question": f"{n}: which is a metal?"} for n in range(40))
    )
    found = tasks("gpqa-diamond", path, seed=1)
    assert found == tasks("gpqa-diamond", path, seed=1)
    assert found != tasks("gpqa-diamond", path, seed=2)
    assert {task.reference for task in found} == set("ABCD")
    for task in found:
        assert f"({task.reference}) iron" in task.problem.prompt
    wrong = next(letter for letter in "ABCD" if letter != found[0].reference)
    right = f"\\boxed{{{found[0].reference}}}"
    assert statuses("gpqa-diamond", found[0], right, f"\\boxed{{{wrong}}}") == ["correct", "incorrect"]
    assert found[0].problem.answer_format == "choice"
    assert shuffled(["a", "b", "c", "d"], 0, "r1", 1) == shuffled(["a", "b", "c", "d"], 0, "r1", 1)


def test_gpqa_in_a_local_layout(tmp_path: Path) -> None:
    for answer in ("B", 1, "iron"):
        row = {"id": "x", "problem": "Which is a metal?", "choices": ["argon", "iron"], "answer": answer}
        (task,) = tasks("gpqa-diamond", write(tmp_path / "g.jsonl", row))
        assert f"({task.reference}) iron" in task.problem.prompt
    with pytest.raises(ConfigError, match=r"g\.jsonl:1: the answer 'C' is none of the 2 choices"):
        tasks("gpqa-diamond", write(tmp_path / "g.jsonl", {**row, "answer": "C"}))


def test_hle_leaves_out_pictures(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "Who?", "answer": "Euler", "answer_type": "exactMatch", "image": ""},
        {"id": "b", "question": "What is it?", "answer": "a cat", "answer_type": "exactMatch", "image": "data:image/png;base64,xx"},
        {"id": "c", "question": "Which?\nA. x\nB. y", "answer": "B", "answer_type": "multipleChoice", "image": ""},
    ]
    found = tasks("hle", write(tmp_path / "h.jsonl", *rows))
    assert [(t.problem.id, t.problem.answer_format) for t in found] == [("a", "text"), ("c", "choice")]


def test_programs(tmp_path: Path) -> None:
    (task,) = tasks("humaneval", write(tmp_path / "h.jsonl", ADD))
    right, wrong = f"{ADD['prompt']}    return a + b", f"{ADD['prompt']}    return a - b"
    assert statuses("humaneval", task, f"```python\n{right}\n```", f"```python\n{wrong}\n```") == [
        "correct", "incorrect",
    ]  # fmt: skip
    assert ADD["prompt"].rstrip() in task.problem.prompt
    assert "check(candidate)" not in task.problem.prompt
    (task,) = tasks("mbpp", write(tmp_path / "m.jsonl", DOUBLE))
    assert statuses("mbpp", task, f"```python\n{DOUBLE['code']}\n```", "```python\ndef double(x):\n    return x\n```") == [
        "correct", "incorrect",
    ]  # fmt: skip
    assert "assert double(-1) == -2" in task.problem.prompt


def test_livecodebench(tmp_path: Path) -> None:
    path = write(tmp_path / "l.jsonl", LIVE, FUNCTIONAL)
    stdin, functional = tasks("livecodebench-v5", path)
    good = "```python\na, b = map(int, input().split())\nprint(a + b)\n```"
    public_only = "```python\ninput()\nprint(3)\n```"
    assert statuses("livecodebench-v5", stdin, good, public_only) == ["correct", "incorrect"]
    method = "```python\nclass Solution:\n    def double(self, x: int) -> int:\n        return {}\n```"
    assert statuses("livecodebench-v5", functional, method.format("2 * x"), method.format("x")) == ["correct", "incorrect"]
    assert "class Solution" in functional.problem.prompt
    assert "standard input" in stdin.problem.prompt
    windowed = tasks("livecodebench-v5", path, since="2024-07-01", until="2025-02-01")
    assert [task.problem.id for task in windowed] == ["abc_a"]
    named = parse("livecodebench-v5", {"livecodebench-v5": {"since": "2024-07-01"}})
    (slot,) = Registry().assemble(PipelineConfig.from_dict({"tasks": {"livecodebench-v5": dict(named.table)}}))
    assert str(card_of(slot.plugin, named.dataset).window[0]) == "2024-07-01"


class Dangerous:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("called",))


def test_packed_tests_call_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(unpacked(packed(PRIVATE), "here")) == PRIVATE
    evil = base64.b64encode(zlib.compress(pickle.dumps(Dangerous()))).decode()
    with pytest.raises(ConfigError, match=r"here: private_test_cases .*it names (builtins|__builtin__)\.print"):
        unpacked(evil, "here")
    assert "called" not in capsys.readouterr().out
    for text in ("!", base64.b64encode(b"no zlib").decode(), base64.b64encode(zlib.compress(b"no pickle")).decode()):
        with pytest.raises(ConfigError, match="here: private_test_cases are neither JSON nor packed JSON"):
            unpacked(text, "here")


def test_scicode_says_that_it_cannot_be_scored(tmp_path: Path) -> None:
    step = {
        "step_number": "1.1",
        "step_description_prompt": "Add.",
        "function_header": "def add(a, b):\n    '''Sum'''",
        "test_cases": [],
    }
    row = {"problem_id": "1", "problem_description_main": "Sums.", "problem_io": '"""in"""', "sub_steps": [step],
           "required_dependencies": "import numpy as np"}  # fmt: skip
    path = write(tmp_path / "s.jsonl", row)
    with pytest.raises(ConfigError, match=r"scicode\.unscored: SciCode cannot be scored here.*unscored = true"):
        tasks("scicode", path)
    (task,) = tasks("scicode", path, unscored=True)
    assert task.reference is None
    assert "def add(a, b):" in task.problem.prompt
    assert "import numpy as np" in task.problem.prompt


def test_local_copies_are_found_by_the_names_on_the_card(tmp_path: Path) -> None:
    (tmp_path / "math500.jsonl.gz").write_bytes(gzip.compress(json.dumps(SUM).encode()))
    config = PipelineConfig.from_dict({"tasks": tables(["math-500"], data=tmp_path)})
    (task,) = Runtime(config).tasks("math-500", "math-500")
    assert task.reference == "4"


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "g.jsonl", SUM)
    runtime = Runtime(PipelineConfig.from_dict({"tasks": {"gsm8k": {"path": path}}}))
    with pytest.raises(ConfigError, match=r"tasks\.gsm8k: there is one data set, 'gsm8k', and none 'gsm9k'"):
        list(runtime.tasks("gsm8k", "gsm9k"))
    with pytest.raises(ConfigError, match=r"tasks\.gsm8k\.path: there is no file"):
        tasks("gsm8k", str(tmp_path / "absent.jsonl"))


def test_splits(tmp_path: Path) -> None:
    rows = [{**DOUBLE, "task_id": n, "split": "train" if n < 2 else "test"} for n in range(5)]
    path = write(tmp_path / "m.jsonl", *rows)
    assert (len(tasks("mbpp", path)), len(tasks("mbpp", path, split="train"))) == (3, 2)
    with pytest.raises(ConfigError, match="no problem of split 'dev' is left"):
        tasks("mbpp", path, split="dev")


def test_a_set_of_another_size_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tasks("aime24", write(tmp_path / "a.jsonl", SUM))
    assert "other_size_than_the_published_set" in caplog.text
    assert "published=30" in caplog.text
