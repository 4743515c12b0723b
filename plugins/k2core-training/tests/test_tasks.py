"""Tasks for training: named, mixed by weight, on one side each, and drawn by how often they were solved."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from k2core_training.tasks import verl
from k2core_training.tasks.config import TaskOptions
from k2core_training.tasks.curriculum import Curriculum
from k2core_training.tasks.loading import load

from k2core import ConfigError, Problem, Task

pytest.importorskip("k2core_eval")


def lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def sums(folder: Path, name: str, count: int, first: int = 0) -> str:
    rows = [{"id": f"{name}{n}", "problem": f"What is {n} + {name}?", "answer": str(n)} for n in range(first, first + count)]
    return lines(folder / f"{name}.jsonl", rows)


GURU = {
    "data_source": "math__x", "prompt": [{"role": "user", "content": "2+2?"}], "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "4"}, "extra_info": {"index": 7},
}  # fmt: skip


def test_sources_are_mixed_by_weight_in_turn_and_the_same_each_time(tmp_path: Path) -> None:
    options = TaskOptions(train={sums(tmp_path, "a", 200): 3, sums(tmp_path, "b", 200): 1}, count=40)
    made = load(options)
    assert Counter(task.problem.id[0] for task in made) == {"a": 30, "b": 10}
    assert Counter(task.problem.id[0] for task in made[:8]) == {"a": 6, "b": 2}
    assert load(options) == made
    assert all(task.reference for task in made)


def test_no_problem_is_on_two_sides_or_there_twice(tmp_path: Path) -> None:
    one, two = sums(tmp_path, "a", 100), sums(tmp_path, "b", 50)
    again = lines(tmp_path / "c.jsonl", [{"id": f"c{n}", "problem": f"what is {n}  + a?", "answer": "0"} for n in range(100)])
    made = load(TaskOptions(train={one: 1, again: 1, two: 1}, count=1000, held=20, excluded=(two,)))
    held = [task for task in made if task.meta.get("split") == "validation"]
    train = [task for task in made if task not in held]
    assert len(held) == 20
    assert len(train) == len({" ".join(task.problem.text.lower().split()) for task in train})
    assert 40 < len(train) <= 80
    assert not {" ".join(t.problem.text.lower().split()) for t in train} & {" ".join(t.problem.text.lower().split()) for t in held}
    assert not [task for task in made if task.problem.id.startswith("b")]


def test_rows_of_verl_as_tasks(tmp_path: Path) -> None:
    path = tmp_path / "guru.jsonl"
    lines(path, [GURU, {**GURU, "ability": "codegen", "extra_info": "{}", "reward_model": json.dumps({"ground_truth": {"a": 1}})}])
    assert verl.is_verl(path)
    first, second = verl.tasks(path)
    assert (first.problem.id, first.problem.domain, first.problem.answer_format, first.reference) == (
        "math__x/7",
        "math",
        "boxed",
        "4",
    )
    assert (second.problem.answer_format, second.reference) == ("code", '{"a": 1}')
    assert first.problem.meta == {"data_source": "math__x"}
    made = load(TaskOptions(train={str(path): 1}, answer_format="tag"))
    assert [task.problem.answer_format for task in made] == ["tag"]


def test_a_row_without_a_ground_truth_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "guru.jsonl"
    lines(path, [GURU, {**GURU, "reward_model": {}}])
    with pytest.raises(ConfigError, match=r"trainer\.tasks.*guru\.jsonl:2.*no ground_truth"):
        list(verl.tasks(path))


@pytest.mark.parametrize("extra", [{"extra_info": "[" * 100_000}, {"reward_model": "[" * 100_000}])
def test_a_row_that_is_nested_too_deeply_is_told_with_its_place(tmp_path: Path, extra: dict[str, Any]) -> None:
    path = tmp_path / "guru.jsonl"
    lines(path, [GURU, {**GURU, **extra}])
    with pytest.raises(ConfigError, match=r"trainer\.tasks.*guru\.jsonl:2.*malformed"):
        list(verl.tasks(path))


def test_names_that_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.tasks.*there is no task 'no-such'"):
        load(TaskOptions(train={"no-such": 1}))
    path = sums(tmp_path, "a", 3)
    with pytest.raises(ConfigError, match="no problem is left to train on"):
        load(TaskOptions(train={path: 1}, excluded=(path,)))
    assert load(TaskOptions()) == []


def test_a_curriculum_prefers_what_is_solved_half_of_the_time() -> None:
    tasks = [Task(problem=Problem(id=str(n), prompt=f"{n}?"), reference="0") for n in range(30)]
    curriculum = Curriculum(tasks, seed=1)
    for task in tasks:
        curriculum.told(task, (0.0, 0.5, 1.0)[int(task.problem.id) % 3])
    drawn = Counter(int(task.problem.id) % 3 for _ in range(200) for task in curriculum.draw(5))
    assert drawn[1] > 0.75 * drawn.total()
    assert min(drawn[0], drawn[2]) > 0  # tried again at times
    assert len({task.problem.id for task in curriculum.draw(30)}) == 30
    assert len(curriculum.draw(70)) == 70


def test_what_has_not_been_tried_counts_as_its_kind_has_fared() -> None:
    families = ("easy", "mixed", "hopeless")
    tasks = [Task(problem=Problem(id=str(n), prompt=f"{n}?", meta={"family": families[n % 3]}), reference="0") for n in range(3000)]
    curriculum = Curriculum(tasks, seed=1)
    seen: Counter[str] = Counter()
    for step in range(60):
        for task in curriculum.draw(8):
            family = str(task.problem.meta["family"])
            seen[family] += step >= 20
            curriculum.told(task, {"easy": 1.0, "mixed": 0.5, "hopeless": 0.0}[family])
    assert seen["mixed"] > 0.8 * seen.total()
    assert min(seen.values()) > 0


def test_a_curriculum_goes_on_from_its_state() -> None:
    tasks = [Task(problem=Problem(id=str(n), prompt=f"{n}?", meta={"level": n % 2}), reference="0") for n in range(9)]
    one, two = Curriculum(tasks, 3), Curriculum(tasks, 3)
    for step in range(5):
        for task in one.draw(4):
            one.told(task, step / 5)
    two.restore(json.loads(json.dumps(one.state())))
    assert [one.draw(4) for _ in range(3)] == [two.draw(4) for _ in range(3)]
