"""`examples/third-party`: packages that live outside the tree. Copied away, built, installed, and tested there."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples" / "third-party"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the projects, below `site` what they install."""
    pytest.importorskip("hatchling", reason="the packages cannot be built without their build back end")
    folder = tmp_path_factory.mktemp("away")
    for name in NAMES:
        shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    places = [str(folder / name) for name in NAMES]
    subprocess.run([*pip, "--target", str(folder / "site"), *places], check=True, timeout=300)
    return folder


def environment(away: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(away / "site")}


@pytest.fixture(scope="module")
def tested(away: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """Their own tests, side by side: most of the time is waiting."""

    def run(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-c", os.devnull]
        command += ["--rootdir", str(away / name), "--import-mode=importlib", str(away / name / "tests")]
        return subprocess.run(command, cwd=away / name, env=environment(away), capture_output=True, text=True, timeout=300)

    with ThreadPoolExecutor() as pool:
        return dict(zip(NAMES, pool.map(run, NAMES), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests_pass(name: str, tested: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = tested[name]
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_public_names_only(name: str) -> None:
    for path in (EXAMPLES / name).rglob("*.py"):
        assert "from k2core._" not in path.read_text("utf-8")
        assert "k2core." not in path.read_text("utf-8").replace("k2core.types", "").replace("k2core.events", "").replace(
            "k2core.testing", ""
        ).replace("k2core.concurrency", "")


def test_the_verifier_passes_k2_check(away: Path) -> None:
    """By its name, as it is installed; without options, as anyone would find it."""
    command = [sys.executable, "-m", "k2core", "check", "k2core-verifier-jsonschema", "--json"]
    done = subprocess.run(command, cwd=away, env=environment(away), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    [report] = json.loads(done.stdout)
    assert [(plugin["role"], plugin["name"], plugin["ok"]) for plugin in report["plugins"]] == [("verifier", "jsonschema", True)]
    assert not [finding for finding in report["findings"] if finding["outcome"] != "passed"]


def test_the_decoder_answers_a_pipeline(away: Path) -> None:
    """Its own `pipeline.toml`, through the command line, against the loopback server of its tests."""
    spec = importlib.util.spec_from_file_location("ollama_kit", away / "k2core-decoder-ollama" / "tests" / "conftest.py")
    assert spec
    assert spec.loader
    kit: Any = importlib.util.module_from_spec(spec)
    sys.modules["ollama_kit"] = kit
    spec.loader.exec_module(kit)
    with kit.running(kit.OllamaServer()) as server:
        pipeline = away / "k2core-decoder-ollama" / "pipeline.toml"
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "k2core",
            "think",
            "2 + 2?",
            "--config",
            str(pipeline),
            "--json",
            "--seed",
            "1",
        ]
        command += ["--set", f"decoders.solver.base_url={server.url}"]
        done = subprocess.run(command, cwd=away, env=environment(away), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["candidates"]) == 3
    assert result["usage"]["solve"]["completion_tokens"] == sum(c["completion"]["tokens"] for c in result["candidates"])
    assert len({body["options"]["seed"] for body in server.bodies}) == 3
