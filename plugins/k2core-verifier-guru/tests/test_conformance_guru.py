"""The rules of the roles, by k2core's own kit."""

from __future__ import annotations

from typing import Any

import pytest
from k2core_verifier_guru.gym.tasks import ReasoningGymTasks
from k2core_verifier_guru.gym.verifier import ReasoningGym
from k2core_verifier_guru.logic import Logic
from k2core_verifier_guru.simulation import Simulation
from k2core_verifier_guru.stem import Stem
from k2core_verifier_guru.tabular import Tabular

from k2core.testing import assert_conforms


@pytest.mark.parametrize("plugin", [Logic, Simulation, Tabular, Stem, ReasoningGym])
def test_verifiers_conform(plugin: type[Any]) -> None:
    assert_conforms("verifier", plugin)


def test_tasks_conform() -> None:
    pytest.importorskip("reasoning_gym", reason="install k2core-verifier-guru[reasoning-gym]")
    assert_conforms("tasks", ReasoningGymTasks, {}, dataset=("basic_arithmetic", "train"))
