"""The decoder keeps the rules of its role, as the kernel's own kit checks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from k2core_decoder_ollama import Ollama

from k2core.testing import Subject, checks_for


@pytest.fixture(scope="module")
def url(kit: Any) -> Iterator[str]:
    with kit.running(kit.Server()) as server:
        yield server.url


@pytest.mark.parametrize("check", checks_for("decoder"), ids=lambda check: check.name)
def test_the_decoder_conforms(check: Any, url: str) -> None:
    check(Subject("decoder", Ollama, {"base_url": url, "model": "test", "connections": 64}))
