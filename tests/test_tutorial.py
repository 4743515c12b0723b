"""The ten-minute tutorial, in one go, as a stranger would: every block in order, in one shell, on the real model."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from doc_blocks import script, steps

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
SET_UP = "Set up"
"""The one section that a checkout of its own and a network are needed for; `benchmarks/stranger.py` runs it, too."""


def environment(folder: Path) -> dict[str, str]:
    """A virtual environment of its own above this one, so that what the reader installs is in nobody's way."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    own = next(folder.glob("lib/python*/site-packages"))
    (own / "above.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name, module in {"k2": "k2core", "pip": "pip"}.items():
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**os.environ, **offline, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(folder)}


def test_every_block_runs_in_order(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the plugin cannot be built without its build back end")
    chosen = [step for step in steps(PAGE) if step.section != SET_UP]
    (tmp_path / "tour").mkdir()
    (tmp_path / "page.sh").write_text(script(chosen))
    with (tmp_path / "said").open("w+") as said:
        command = ["bash", str(tmp_path / "page.sh")]
        environ = environment(tmp_path / "venv")
        shell = subprocess.Popen(command, cwd=tmp_path / "tour", env=environ, stdout=said, stderr=said, start_new_session=True)
        try:
            status = shell.wait(500)
        finally:
            with contextlib.suppress(ProcessLookupError):  # what a block that failed has left running
                os.killpg(shell.pid, signal.SIGKILL)
        said.seek(0)
        printed = said.read()
    assert status == 0, printed
    assert "ok: 1 plugin keeps the rules" in printed
    assert "chat.completion" in printed, "served"
    assert list((tmp_path / "tour" / "both").glob("*.html"))


def test_the_page_sets_up_first_and_shows_nothing_that_is_not_run() -> None:
    sections = list(dict.fromkeys(step.section for step in steps(PAGE)))
    assert sections == [
        SET_UP,
        "First answer",
        "Read the trace",
        "Change the pipeline",
        "A plugin of your own",
        "Evaluate it",
        "Serve it",
    ]
    assert next(step.text.split()[:2] for step in steps(PAGE) if step.section == SET_UP) == ["make", "think"]
    assert PAGE.read_text("utf-8").count("\n```") == 2 * len(steps(PAGE))
