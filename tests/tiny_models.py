"""The module that makes tiny random models, wherever a test needs one: it lies beside the tests of k2core-decoder-transformers."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

PATH = Path(__file__).parents[1] / "plugins" / "k2core-decoder-transformers" / "tests" / "tiny.py"


@cache
def tiny() -> ModuleType:
    """`tiny().make(folder, "llama")` saves a model."""
    spec = importlib.util.spec_from_file_location("tiny", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
