"""`examples/task_package`: its own tests pass, and installed it is a task like any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "examples" / "task_package"
pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="the examples are not part of this checkout")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the built package is importable, entry point and all."""
    pytest.importorskip("hatchling", reason="the package cannot be built without its build back end")
    target = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--target", str(target), str(PACKAGE)], check=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(target)}


def test_its_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, str(PACKAGE / "tests")], env=installed, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_it_is_found_when_installed(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "k2core", "eval", "tasks"]
    one = subprocess.run([*command, "clocks:written", "--json"], env=installed, capture_output=True, text=True, timeout=60)
    assert one.returncode == 0, one.stderr
    card = json.loads(one.stdout)
    assert (card["name"], card["card"]["size"], len(card["examples"])) == ("clocks:written", 10, 2)
    every = subprocess.run([*command, "--json"], env=installed, capture_output=True, text=True, timeout=60)
    assert "clocks:…" in [row["name"] for row in json.loads(every.stdout)]
