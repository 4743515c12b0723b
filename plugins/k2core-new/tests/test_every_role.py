"""What `k2 new` writes, for every role: it installs without a network, passes `k2 check`, and works in a pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from k2core_new.children import examined
from k2core_new.findings import PluginReport
from k2core_new.package import findings, offered
from k2core_new.scaffold import plan, project, write
from k2core_new.settings import CheckSettings, read
from k2core_new.target import Target
from plugin_dirs import make_distribution, with_path

from k2core.spec import ROLE_VERSIONS

RUN = """
import asyncio, json, sys
from pathlib import Path
from k2core import PipelineConfig, Registry, Runtime
from k2core.testing import FakeDecoder

async def main(registry, text):
    async with Runtime(PipelineConfig.from_toml(text), registry=registry) as runtime:
        return (await runtime.solve("What is 6 * 7?", seed=1)).answer

registry = Registry()
registry.add("decoder", "llamacpp", FakeDecoder)  # the model alone is a stand-in
answers = {path: asyncio.run(main(registry, Path(path).read_text())) for path in sys.argv[1:]}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A new project of each role."""
    folder = tmp_path_factory.mktemp("projects")
    for role in ROLE_VERSIONS:
        write(project(plan(role, f"fresh-{role}")), folder / role)
    return {role: folder / role for role in ROLE_VERSIONS}


@pytest.fixture(scope="module")
def site(projects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, built and installed in one place."""
    pytest.importorskip("hatchling", reason="the packages cannot be built without their build back end")
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), *map(str, projects.values())], check=True, timeout=300)
    return target


@pytest.fixture(scope="module")
def reports(projects: dict[str, Path], site: Path) -> dict[str, PluginReport]:
    """Several at a time: most of what a check does is to wait."""
    from importlib import metadata

    def report(role: str) -> PluginReport:
        dist = next(d for d in metadata.distributions(path=[str(site)]) if d.name == f"k2core-fresh-{role}")
        (found,) = offered(Target(role, dist))
        settings = read(projects[role] / "pyproject.toml").get(found.name, CheckSettings())
        return examined(found, str(site), settings)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(ROLE_VERSIONS, pool.map(report, ROLE_VERSIONS), strict=True))


@pytest.mark.parametrize("role", ROLE_VERSIONS)
def test_it_keeps_the_rules(role: str, reports: dict[str, PluginReport]) -> None:
    failed = [finding for finding in reports[role].findings if finding.outcome == "failed"]
    assert not failed
    passed = {finding.check for finding in reports[role].findings if finding.outcome == "passed"}
    assert {
        "loads",
        "import_is_light",
        "hooks_match_their_specs",
        f"works_as_{role}" if role != "hook" else "starts_and_stops",
    } <= passed


@pytest.mark.parametrize("role", ROLE_VERSIONS)
def test_the_package_could_be_published(role: str, site: Path) -> None:
    """But for the licence, which is the author's to choose."""
    from importlib import metadata

    dist = next(d for d in metadata.distributions(path=[str(site)]) if d.name == f"k2core-fresh-{role}")
    found = findings(Target(role, dist, str(site)))
    assert [finding.message for finding in found if finding.outcome == "failed"] == []
    assert [finding.message for finding in found if finding.outcome == "advice"] == ["no license: nobody may use it"]


def test_they_work_in_their_pipelines(projects: dict[str, Path], site: Path, tmp_path: Path) -> None:
    pipelines = [str(projects[role] / "pipeline.toml") for role in ROLE_VERSIONS if role != "command"]
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-W", "error", "-c", RUN, *pipelines]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(json.loads(done.stdout).values())
    command = [sys.executable, "-m", "k2core", "fresh-command", "sampler"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "fresh-sampler" in done.stdout.split()) == (0, True), done.stderr


def test_their_own_tests_run(projects: dict[str, Path], site: Path, tmp_path: Path) -> None:
    """One for all: each calls the kit, which `k2 check` has run on every one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [*command, str(projects["command"] / "tests")], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


CORE = ["k2core>=0.1,<0.2"]
BAD = {
    "verifier": ("bad_plugins.verifiers:ScoreOutOfRange", "works_as_verifier"),
    "trainer": ("bad_plugins.others:ReportsNothing", "works_as_trainer"),
    "tasks": ("bad_plugins.tasks:TakesAnyName", "unknown_names_are_refused"),
    "command": ("bad_plugins.others:NoCommand", "works_as_command"),
}
"""Some of the ninety that the kit's own tests put through it."""


def test_the_command_passes_on_what_the_kit_finds(tmp_path: Path) -> None:
    points = {f"k2core.{role}.v1": {"bad": where} for role, (where, _) in BAD.items()}
    make_distribution(tmp_path, "acme-bad", "1.0", points, requires=CORE)
    tests = Path(__file__).parents[3] / "tests"
    lines = ["patience = 1.0", "limit = 8.0", 'dataset = ["any", "train"]']
    (tmp_path / "settings.toml").write_text("\n".join(["[tool.k2core.check.bad]", *lines]))
    command = [sys.executable, "-m", "k2core", "check", "acme-bad", "--json", "--jobs", "4", "--settings", "settings.toml"]
    done = subprocess.run(command, env=with_path(tmp_path, tests), cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1, done.stderr
    [report] = json.loads(done.stdout)
    found = {plugin["role"]: {f["check"] for f in plugin["findings"] if f["outcome"] == "failed"} for plugin in report["plugins"]}
    assert {role: check for role, (_, check) in BAD.items() if check not in found[role]} == {}, found


def test_a_plugin_that_needs_options_is_told_where_they_go(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "k2core", "check", "k2core-decoder-recorded", "--only", "recorded"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1, done.stderr
    assert "`path` is missing" in done.stdout
    assert "what it needs goes into [tool.k2core.check.recorded.options] of a file for --settings" in done.stdout
