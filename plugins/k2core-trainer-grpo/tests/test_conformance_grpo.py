"""The rules of the role, by k2core's own kit, on a tiny random model."""

from __future__ import annotations

from pathlib import Path

import grpo_bench as bench
import pytest
from k2core_trainer_grpo import Grpo

from k2core import Registry
from k2core.testing import assert_conforms

pytest.importorskip("torch")


def test_the_trainer_conforms(tmp_path: Path) -> None:
    tables = bench.tables(bench.model(tmp_path / "model"), tmp_path / "out", steps=2, resume=True)
    options = {name: value for name, value in tables["trainer"].items() if name != "use"}
    pipeline = {"decoders": tables["decoders"], "verifiers": {"fake": {"use": "fake"}}}
    registry = Registry()
    registry.find_all()  # looks into every distribution, once
    given = {"tasks": bench.tasks(), "pipeline": pipeline, "registry": registry}
    assert_conforms("trainer", Grpo, options, patience=20, limit=120, **given)
