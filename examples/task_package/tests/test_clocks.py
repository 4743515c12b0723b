"""The package keeps the rules for tasks, and its written answers are right where they can be worked out by counting."""

from __future__ import annotations

import datetime

import pytest
from k2core_clocks import Clocks

from k2core import Task
from k2core.testing import assert_conforms


@pytest.mark.parametrize("name", ["written", "drawn"])
def test_conforms(name: str) -> None:
    assert_conforms("tasks", Clocks, dataset=(name, "test"))


def written() -> dict[str, Task]:
    tasks = Clocks().k2_tasks(name="written", split="test", limit=None, seed=0)
    return {task.problem.id.removeprefix("clocks/"): task for task in tasks}


def test_the_card_counts_right() -> None:
    assert Clocks().benchmark("written").size == len(written())


def test_answers_that_can_be_counted() -> None:
    readings = [f"{hour:02}{minute:02}" for hour in range(24) for minute in range(60)]
    days = [datetime.date(2026, month, 13).isoweekday() for month in range(1, 13)]  # 2026 begins with a Thursday
    counted = {
        "palindromes": sum(reading == reading[::-1] for reading in readings),
        "friday-13": days.count(5),
        "strikes": sum((hour % 12 or 12) + 1 for hour in range(24)),
        "weekday-100": (datetime.date(2026, 11, 24) + datetime.timedelta(100)).isoweekday(),  # a Tuesday
    }
    assert {name: int(str(written()[name].reference)) for name in counted} == counted


def test_splits_are_drawn_apart() -> None:
    texts = [{t.problem.prompt for t in Clocks().k2_tasks(name="drawn", split=s, limit=50, seed=1)} for s in ("train", "test")]
    assert not texts[0] & texts[1]
