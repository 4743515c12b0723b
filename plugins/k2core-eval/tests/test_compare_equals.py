"""Equals compared with each other are hardly ever called better; `benchmarks/aa.py` does it a thousand times."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def aa() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "aa.py"
    spec = importlib.util.spec_from_file_location("k2core_eval_aa", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("which", [0, 2, 6])
def test_equals_are_not_called_better(aa: ModuleType, which: int) -> None:
    """At a true rate of 5 %, 100 comparisons give more than 11 less than once in a hundred times."""
    count = aa.compared(aa.SHAPES[which], 100, seed=7)
    assert count.comparisons == 100
    assert count.any_better <= 11
    assert not count.unequal


def test_several_tasks_give_no_more_false_alarms(aa: ModuleType) -> None:
    shape = next(shape for shape in aa.SHAPES if shape.tasks > 1)
    assert aa.compared(shape, 25, seed=7).any_better <= 5


def test_a_true_difference_is_seen(aa: ModuleType) -> None:
    shape = aa.Shape("large", 173, (8, 8))
    assert aa.compared(shape, 20, seed=7, points=0.05).better >= 14


def test_intervals_hold_the_truth(aa: ModuleType) -> None:
    shape = aa.Shape("AIME", 30, (16, 1), solved=0.5, spread=3.0)
    held, width, boot = aa.covered(shape, 200, 7)
    assert held >= 181
    assert width < 25
    assert boot == 1
