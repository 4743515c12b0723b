"""Keeps matplotlib out of the worker processes.

cellpylib, which reasoning-gym's `game_of_life` needs, imports it in order to draw, which no family does; it takes half of the
start.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Blank(Loader, MetaPathFinder):
    """Finds every module of matplotlib, with nothing in it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        blank = name.partition(".")[0] in ("matplotlib", "mpl_toolkits")
        return ModuleSpec(name, self, is_package=True) if blank else None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = _nothing


def _nothing(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return None


def without_drawing() -> None:
    """Let `import matplotlib` find blank modules from here on, for the life of this process."""
    sys.meta_path.insert(0, _Blank())
