"""Rows in verl's layout, from tasks and from conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from k2core_sampler.prompt import solver_messages
from k2core_trainer_verl import VerlConfig
from k2core_trainer_verl.rows import PROBLEM, prompting, rows
from k2core_trainer_verl.sources import gather
from k2core_training.data.skips import Skips

from k2core import ConfigError, Problem, Task

TASKS = [
    Task(problem=Problem(id="a", prompt="What is 2 + 3?", domain="math"), reference="5"),
    Task(problem=Problem(id="b", prompt="Sort 3, 1.", domain="logic", answer_format="json", meta={"n": 2}), reference="[1, 3]"),
    Task(problem=Problem(id="c", prompt="Anything?")),
]


def config(**options: Any) -> VerlConfig:
    return VerlConfig.model_validate({"model": {"model": "m"}, **options})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_prompt_is_the_samplers() -> None:
    sampler = {"use": "single", "system": "Be brief.", "instructions": True, "examples": [{"problem": "1 + 1?", "reply": "2"}]}
    prompt = prompting(sampler, {"system": None, "instructions": None, "examples": None})
    row = next(rows(TASKS[:1], "train", prompt))
    wanted = solver_messages(TASKS[0].problem, **prompt)
    assert row["prompt"] == [{"role": message.role, "content": message.content} for message in wanted]
    assert [turn["role"] for turn in row["prompt"]] == ["system", "user", "assistant", "user"]


def test_the_trainers_own_words_win() -> None:
    prompt = prompting({"system": "Be brief."}, {"system": "Be exact.", "instructions": False, "examples": None})
    assert (prompt["system"], prompt["instructions"], prompt["examples"]) == ("Be exact.", False, ())


def test_a_row_holds_what_verl_and_the_verifiers_need() -> None:
    made = list(rows(TASKS[:2], "train", prompting({}, {})))
    assert [set(row) for row in made] == [{"data_source", "prompt", "ability", "reward_model", "extra_info"}] * 2
    assert [row["data_source"] for row in made] == ["math", "logic"]
    assert made[1]["reward_model"] == {"style": "rule", "ground_truth": "[1, 3]"}
    assert made[1]["extra_info"]["index"] == 1
    assert Problem.model_validate_json(made[1]["extra_info"][PROBLEM]) == TASKS[1].problem
    assert "[1, 3]" not in made[1]["extra_info"][PROBLEM]


def test_tasks_without_references_are_counted(tmp_path: Path) -> None:
    skips = Skips()
    held = TASKS[1].model_copy(update={"meta": {"split": "validation"}})
    found = gather(config(), tmp_path, [TASKS[0], held, TASKS[2]], {}, "trainer", skips)
    assert (found["train"].written, found["validation"].written) == (1, 1)
    assert lines(found["validation"].lines)[0]["extra_info"]["split"] == "validation"
    assert (skips.counts["no reference"], skips.examples["no reference"]) == (1, ["c"])


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.data.files: there is nothing to train on"):
        gather(config(), tmp_path, TASKS[2:], {}, "trainer", Skips())
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="is no Parquet file"):
        gather(config(data={"files": [str(tmp_path / "rows.jsonl")]}), tmp_path, TASKS, {}, "trainer", Skips())


def test_nothing_to_validate_on(tmp_path: Path) -> None:
    for stage in ("rl", "sft"):
        chats = tmp_path / "chats.jsonl"
        chats.write_text(json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}))
        data = {"files": [str(chats)] if stage == "sft" else [], "validate_every": 2}
        with pytest.raises(ConfigError, match=r"trainer\.data\.validate_every: there is nothing to validate on; give"):
            gather(config(stage=stage, data=data), tmp_path, TASKS[:1], {}, "trainer", Skips())


def test_conversations_of_several_layouts(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    chats: list[Any] = [
        {"messages": [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}]},
        {"system": "Think.", "conversations": [{"from": "human", "value": "2?"}, {"from": "gpt", "value": "<think>two</think>2"}]},
        {"messages": [{"role": "user", "content": "and?"}]},
    ]
    file.write_text("".join(json.dumps(chat) + "\n" for chat in chats) + "{broken\n")
    ready = tmp_path / "ready.parquet"
    ready.write_bytes(b"as it is")
    skips = Skips()
    found = gather(config(stage="sft", data={"files": [str(file), str(ready)]}), tmp_path, (), {}, "trainer", skips)
    assert [turn["role"] for turn in lines(found["train"].lines)[1]["messages"]] == ["system", "user", "assistant"]
    assert (found["train"].written, found["train"].parquet) == (2, [str(ready)])
    assert dict(skips.counts) == {"no assistant turn": 1, "malformed": 1}


def test_parquet_in_verls_layout(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet is written in verl's environment: make verl")
    from k2core_trainer_verl.inside.files import parquet
    from pyarrow import parquet as pq

    found = gather(config(), tmp_path, TASKS, {}, "trainer", Skips())
    [written] = parquet(str(found["train"].lines), tmp_path / "train.parquet", "rl")
    table = pq.read_table(written)
    assert table.column_names == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert table.to_pylist() == lines(found["train"].lines)


def guru(source: str, reference: Any, **extra: Any) -> dict[str, Any]:
    """A row in verl's layout, as Guru has them."""
    prompt = [{"role": "system", "content": "Think."}, {"role": "user", "content": f"A question of {source}?"}]
    graded = {"style": "rule", "ground_truth": reference}
    return {"data_source": source, "prompt": prompt, "ability": "x", "reward_model": graded, "extra_info": {"index": 0, **extra}}


def test_files_of_one_layout_are_used_as_they_are(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet is written in verl's environment: make verl")
    from k2core_trainer_verl.inside.files import aligned, rows_in
    from pyarrow import parquet as pq

    files = [str(tmp_path / f"{number}.parquet") for number in range(3)]
    for file, more in zip(files, ({}, {"level": 3}, {"answer": None}), strict=True):  # verl fills in what one of them lacks
        pq.write_table(pa.Table.from_pylist([guru("math__x", "4", **more), guru("math__y", "5", **more)]), file)
    assert aligned(files, tmp_path / "all.parquet") == files
    assert rows_in(files) == 6


def test_files_of_different_layouts_become_one(tmp_path: Path) -> None:
    """verl cannot load them together: a reference is a text here and lists there."""
    pa = pytest.importorskip("pyarrow", reason="Parquet is written in verl's environment: make verl")
    from k2core_trainer_verl.inside.files import aligned, parquet
    from k2core_trainer_verl.reward import problem_of
    from pyarrow import parquet as pq

    own = parquet(str(gather(config(), tmp_path, TASKS, {}, "trainer", Skips())["train"].lines), tmp_path / "own.parquet", "rl")
    theirs = {"math": guru("math__x", "4"), "logic": guru("logic__arc", [[1, 2], [3]], level=3)}
    for name, row in theirs.items():
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{name}.parquet")
    files = [*own, *(str(tmp_path / f"{name}.parquet") for name in theirs)]
    [together] = aligned(files, tmp_path / "all.parquet")
    made = pq.read_table(together).to_pylist()
    assert pq.read_schema(together) == pq.read_schema(own[0])
    assert [row["reward_model"]["ground_truth"] for row in made] == ["5", "[1, 3]", "4", "[[1, 2], [3]]"]
    assert made[3]["prompt"] == theirs["logic"]["prompt"]
    problem = problem_of(made[3]["data_source"], made[3]["extra_info"])
    assert (problem.prompt, problem.domain, problem.meta["level"]) == ("A question of logic__arc?", "logic", 3)
    assert problem_of("math", made[0]["extra_info"]) == TASKS[0].problem


def test_files_that_cannot_be_brought_together(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet is written in verl's environment: make verl")
    from k2core_trainer_verl.inside.files import aligned
    from k2core_trainer_verl.inside.prepare import given
    from pyarrow import parquet as pq

    pq.write_table(pa.Table.from_pylist([guru("math__x", "4")]), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist([{"data_source": "x", "prompt": "as a text"}]), tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_text("none")
    with pytest.raises(ValueError, match=r"b\.parquet:1 .* cannot be brought into one layout.*: no 'reward_model'"):
        aligned([str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")], tmp_path / "all.parquet")
    with pytest.raises(ValueError, match=r"c\.parquet is no whole Parquet file"):
        given({"train": "", "train_files": [str(tmp_path / "c.parquet")]}, "train", tmp_path, "sft")
