"""The hooks and the command obey the contract of plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from k2core_hooks.budget import Budget
from k2core_hooks.progress import Progress
from k2core_hooks.replay import Replay
from k2core_hooks.trace import Trace

from k2core import Plugin
from k2core.testing import assert_conforms


@pytest.mark.parametrize(
    ("role", "plugin", "options"),
    [
        ("hook", Budget, {"tokens": 1_000_000, "seconds": 600, "problem": {"calls": 1_000}}),
        ("hook", Progress, {}),
        ("hook", Trace, {}),
        ("command", Replay, {}),
    ],
)
def test_it_conforms(
    role: str, plugin: type[Plugin], options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_conforms(role, plugin, options)
