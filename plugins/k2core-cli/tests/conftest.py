"""The fakes of `k2core.testing`, installed as plugins, and `k2` in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from k2core_cli.dispatch import main
from plugin_dirs import make_distribution, with_path

POINTS = {
    "k2core.decoder.v1": {"fake": "k2core.testing:FakeDecoder"},
    "k2core.planner.v1": {"fake": "k2core.testing:FakePlanner"},
    "k2core.sampler.v1": {"fake": "k2core.testing:FakeSampler"},
    "k2core.verifier.v1": {"fake": "k2core.testing:FakeVerifier"},
}
PIPELINE = """
[planner]
use = "fake"
[sampler]
use = "fake"
n = 2
[verifiers.fake]
[decoders.solver]
use = "fake"
replies = ["The answer is 41.", "The answer is 42."]
"""


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that offers the fakes as plugins, on this process's path."""
    root = make_distribution(tmp_path / "dist", "acme-fakes", "1.0", POINTS)
    monkeypatch.syspath_prepend(str(root))
    return root


@pytest.fixture
def pipeline(tmp_path: Path, fakes: Path) -> Path:
    """A pipeline of fakes, two candidates of which the second is right."""
    path = tmp_path / "pipeline.toml"
    path.write_text(PIPELINE, encoding="utf-8")
    return path


@pytest.fixture
def k2(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in this process."""

    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's way out
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return Done(status, out, err)

    return run


@pytest.fixture
def start(fakes: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own."""

    def run(*arguments: str | Path, env: Mapping[str, str] | None = None, **options: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "k2core", *map(str, arguments)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, text=True, env=with_path(fakes, env={**os.environ, **(env or {})}), **pipes)  # type: ignore[call-overload,no-any-return] # options are its streams

    return run


@pytest.fixture
def k2_process(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Done]:
    """Run a command in a process of its own, to its end."""

    def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Done:
        child = start(*arguments, env=env)
        out, err = child.communicate(timeout=60)
        return Done(child.returncode, out, err)

    return run
