"""`k2 train` in a process of its own: threads that wait do not keep cores from others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("said", "expected"), [({}, "GOMP_SPINCOUNT = '2000'"), ({"OMP_WAIT_POLICY": "active"}, "OMP_WAIT_POLICY = 'ACTIVE'")]
)
def test_waiting_threads_soon_sleep(tmp_path: Path, said: dict[str, str], expected: str) -> None:
    """OpenMP tells itself what it goes by, when torch is loaded; the training ends there, for want of a model."""
    (tmp_path / "rows.jsonl").touch()
    (tmp_path / "sft.toml").write_text(
        f'[trainer]\nuse = "sft"\ndata = {{files = ["{tmp_path / "rows.jsonl"}"]}}\nmodel = {{model = "./nowhere"}}\n'
    )
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-m", "k2core", "train", "sft", "--config", str(tmp_path / "sft.toml"), "--out", str(tmp_path / "out")],
        env={**clean, **said, "OMP_DISPLAY_ENV": "verbose", "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "cannot get the model './nowhere'" in done.stderr
    if "GOMP_" not in done.stderr:
        pytest.skip("torch computes with another OpenMP than GNU's")
    assert expected in done.stderr
