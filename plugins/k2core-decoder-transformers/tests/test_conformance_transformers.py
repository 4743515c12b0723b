"""The rules of the roles, by k2core's own kit, on a tiny random model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_transformers import Transformers

from k2core.testing import assert_conforms

pytest.importorskip("torch")


def _tiny() -> Any:
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_decoder_conforms(tmp_path: Path) -> None:
    folder = _tiny().make(tmp_path / "model", context=2048)
    assert_conforms("decoder", Transformers, {"model": str(folder), "context": 2048, "threads": 1})
