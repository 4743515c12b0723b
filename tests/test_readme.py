"""Every block of the README and of the how-tos runs as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from k2core import PipelineConfig, Runtime

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "howto").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[object]:
    found = [(page, i, m[2]) for page in PAGES for i, m in enumerate(BLOCK.finditer(page.read_text("utf-8"))) if m[1] == language]
    return [pytest.param(text, id=f"{page.stem}-{i}") for page, i, text in found]


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", blocks("python"))
def test_python_blocks_run(text: str, tmp_path: Path) -> None:
    run([sys.executable, "-W", "error", "-c", text], tmp_path)


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_blocks_are_pipelines_or_projects(text: str) -> None:
    tables = tomllib.loads(text)
    if "project" not in tables:
        tables.pop("grading", None)  # an evaluation's own, which the pipeline never sees
        Runtime(PipelineConfig.from_dict(tables))


@pytest.mark.parametrize("text", blocks("bash"))
def test_commands_run(text: str, tmp_path: Path) -> None:
    """`make` words exist (the pipeline that runs these tests runs them, too); `k2` commands run, in order, in one folder."""
    words = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in text.splitlines():
        command = shlex.split(line, comments=True)
        if command[:1] == ["make"]:
            assert command[1] in words
        elif command:
            assert command[0] in ("k2", "echo"), f"this test knows no {command[0]}"
            run(["bash", "-ec", f'k2() {{ {shlex.quote(sys.executable)} -m k2core "$@"; }}; {line}'], tmp_path)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
