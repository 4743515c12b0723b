"""Puts a bad plugin through the kit, in a process that its leaks may stay in."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from bad_plugins.others import task
from bad_plugins.planners import KEPT
from k2core.testing import Report, check_plugin

PROBED = (
    "import_is_quiet",
    "import_starts_nothing",
    "import_changes_nothing",
    "import_is_light",
    "import_is_fast",
    "constructor_touches_nothing",
)
FAST: dict[str, Any] = {"patience": 1.0, "limit": 8.0, "tasks": [task(1), task(2)], "dataset": ("any", "train")}


def examined(role: str, where: str, *, probe: bool = False) -> Report:
    """The report on `module:Class` of this package; without `probe`, the checks in fresh interpreters are left out."""
    module, _, name = where.partition(":")
    cls = getattr(importlib.import_module(f"bad_plugins.{module}"), name)
    logging.disable()
    skip = {} if probe else dict.fromkeys(PROBED, "a fresh interpreter for each takes its time")
    try:
        return check_plugin(role, cls, skip=skip, **FAST)
    finally:
        while KEPT:
            process = KEPT.pop()
            process.kill()
            process.wait()
