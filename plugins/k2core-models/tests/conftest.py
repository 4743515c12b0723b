"""The real model, fetched once into the user's cache."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from k2core_models import resolve

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def model() -> Path:
    return resolve("smollm2-135m-instruct")
