"""How many steps verl is told of: no more than the data give, as it writes its last checkpoint at the last of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow", reason="Parquet is counted in verl's environment: make verl")

from k2core_trainer_verl.inside.counting import counted  # noqa: E402
from pyarrow import parquet as pq  # noqa: E402


def files(tmp_path: Path, *counts: int) -> list[str]:
    made = []
    for count in counts:
        made.append(str(tmp_path / f"{len(made)}-of-{count}.parquet"))
        pq.write_table(pa.table({"row": list(range(count))}), made[-1])
    return made


def whole(train: list[str], steps: int | None, passes: int = 1, held: list[str] | None = None) -> Any:
    """As much of verl's configuration as counting looks at, with four rows a step."""
    data = SimpleNamespace(train_files=train, val_files=held, train_batch_size=4, filter_overlong_prompts=True)
    return SimpleNamespace(data=data, trainer=SimpleNamespace(total_training_steps=steps, total_epochs=passes))


@pytest.mark.parametrize(
    ("steps", "passes", "told"),
    [(8, 1, None), (5, 1, 5), (6, 1, None), (2, 1, 2), (9, 2, 9), (10, 2, 10), (11, 2, None), (None, 1, None)],
)
def test_no_more_steps_than_the_data_give(tmp_path: Path, steps: int | None, passes: int, told: int | None) -> None:
    """Of 23 rows five steps a pass; without a number verl counts them itself."""
    made = whole(files(tmp_path, 20, 3), steps, passes)
    assert counted("sft", made) == []
    assert made.trainer.total_training_steps == told


@pytest.mark.parametrize(("kept", "told"), [(8, 2), (7, None)])
def test_rows_that_are_left_out_as_too_long_give_no_step(tmp_path: Path, kept: int, told: int | None) -> None:
    made, asked = whole(files(tmp_path, 20), 2), list[int]()

    def fitting(config: Any, needed: int) -> int:
        asked.append(needed)
        return kept

    assert counted("rl", made, fitting) == []
    assert (made.trainer.total_training_steps, asked) == (told, [8])


def test_too_few_rows_for_one_step(tmp_path: Path) -> None:
    assert counted("rl", whole(files(tmp_path, 3), 2)) == [("prompts", "3 rows do not make one step of 4")]


def test_too_few_conversations_to_validate_on(tmp_path: Path) -> None:
    train, held = files(tmp_path, 20, 3)
    [(place, why)] = counted("sft", whole([train], None, held=[held]))
    assert place == "data.validation"
    assert why == "3 conversations; verl validates in whole steps, so there must be as many as prompts = 4"
    assert counted("rl", whole([train], None, held=[held])) == [], "problems are measured all at once"
