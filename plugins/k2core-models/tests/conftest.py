"""The real model, fetched once into the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from k2core_models import resolve


@pytest.fixture(scope="session")
def model() -> Path:
    return resolve("smollm2-135m-instruct")
