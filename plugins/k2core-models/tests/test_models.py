"""Where models lie, what their names are, and how progress is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from k2core_models.models import KNOWN, cache_folders, is_path, known
from k2core_models.progress import Progress


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.delenv("K2CORE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folders()[0] == Path("/h/.cache/k2core/models")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folders()[0] == Path("/x/k2core/models")
    monkeypatch.setenv("K2CORE_CACHE", "/k")
    assert cache_folders()[0] == Path("/k/models")


def test_names_and_paths() -> None:
    with pytest.raises(ValueError, match="unknown model 'x'"):
        known("x")
    assert [is_path(m) for m in (*KNOWN, "x", "x.gguf", "./x", "~/x")] == [False, False, True, True, True]


class _Terminal:
    def __init__(self) -> None:
        self.said = ""

    def write(self, text: str) -> int:
        self.said += text
        return len(text)

    def isatty(self) -> bool:
        return True

    def flush(self) -> None: ...


def test_a_bar_on_a_terminal() -> None:
    out = _Terminal()
    progress = Progress("m", out)  # type: ignore[arg-type] # as much of a TextIO as it takes
    for done in range(0, 201_000_000, 500_000):
        progress.show(done, 200_000_000)
    progress.close("done")
    assert out.said.count("\r") == 102
    assert "\rm: fetching [###############               ] 100 of 200 MB " in out.said
    assert out.said.endswith("\r\x1b[Km: done\n")
