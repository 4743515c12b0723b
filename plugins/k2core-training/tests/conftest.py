"""Tiny models for the tests of this distribution, made by the decoder's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tiny() -> Any:
    """The module that makes tiny random models."""
    pytest.importorskip("torch").set_num_threads(1)
    path = Path(__file__).parents[2] / "k2core-decoder-transformers" / "tests" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
