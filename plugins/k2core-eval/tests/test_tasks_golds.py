"""On the real data, where they are: known right answers are correct, those of other problems are not."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "bench"
SIZES = {
    "aime24": 30, "aime25": 30, "hmmt-feb25": 30, "hmmt-feb24": 30, "cmimc24": 30, "amc23": 40, "omni-math-rule": 2821,
    "gsm8k": 1319, "math-500": 500, "minerva-math": 272, "olympiadbench": 675, "gaokao2023en": 385, "humaneval": 164,
    "mbpp": 500,
}  # fmt: skip
SAMPLE = {"omni-math-rule": 200, "humaneval": 12, "mbpp": 12}
EQUAL = {"math-500": 1, "gaokao2023en": 2}
"""How many answers of other problems may be called correct: they were read, and are equal but for one in gaokao2023en."""
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the benchmarks' data are not in ../shared/data/bench")


@pytest.fixture(scope="module")
def golds() -> ModuleType:
    """The benchmark script, which prints the same for all rows."""
    path = Path(__file__).parents[1] / "benchmarks" / "golds.py"
    spec = importlib.util.spec_from_file_location("golds", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["golds"] = module  # where its data classes look for their module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SIZES)
def test_right_answers_are_right(name: str, golds: ModuleType) -> None:
    table = asyncio.run(golds.graded(name, str(DATA), SAMPLE.get(name)))
    assert table.size == SAMPLE.get(name, SIZES[name])
    assert dict(table.counts["gold"]) == {"correct": table.size}, table.odd
    assert table.counts["other"].total() == table.size
    assert table.counts["other"]["correct"] <= EQUAL.get(name, 0), table.odd
