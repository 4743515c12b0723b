"""The rules of the role, by k2core's own kit."""

from __future__ import annotations

from typing import Any

import pytest
from k2core_sampler import BestOfN, Single

from k2core import Plugin
from k2core.testing import assert_conforms


@pytest.mark.parametrize(
    ("plugin", "config"), [(Single, {}), (BestOfN, {}), (BestOfN, {"n": 4, "batch": "all"}), (BestOfN, {"n": 5, "batch": 2})]
)
def test_conforms(plugin: type[Plugin], config: dict[str, Any]) -> None:
    assert_conforms("sampler", plugin, config)
