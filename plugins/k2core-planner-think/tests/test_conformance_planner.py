"""The rules of the role, by k2core's own kit."""

from __future__ import annotations

from typing import Any

import pytest
from k2core_planner_think import Think

from k2core.testing import assert_conforms


@pytest.mark.parametrize("config", [{}, {"calls": 1, "leak": "retry"}, {"always_plan": True, "leak": "drop", "structured": False}])
def test_conforms(config: dict[str, Any]) -> None:
    assert_conforms("planner", Think, config)
