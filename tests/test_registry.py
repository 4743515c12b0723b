"""Installed plugins, good and bad: found without being imported, loaded one at a time, and never in anyone's way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_dirs import broken_distributions, make_distribution, with_path

from k2core import PipelineConfig, PluginIncompatible, PluginNotFound, Registry
from k2core.testing import FakeSampler

GOOD = """
from k2core import Plan, Plugin, PluginConfig, Problem, hookimpl

class OutlineConfig(PluginConfig):
    max_steps: int = 6

class Outline(Plugin):
    config: OutlineConfig

    @hookimpl
    async def k2_plan(self, problem: Problem) -> Plan:
        return Plan(prompt="\\n".join(problem.text.split(". ")[: self.config.max_steps]))
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    broken_distributions(tmp_path)
    make_distribution(
        tmp_path, "acme-outline", "2.1", {"k2core.planner.v1": {"outline": "acme_outline:Outline"}}, {"acme_outline.py": GOOD}
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Registry()


def test_everything_is_found_and_nothing_is_imported(installed: Registry) -> None:
    found = {f.name: f for f in installed.find_all() if f.dist.startswith("acme")}
    assert set(found) == {"crashing", "slow", "broken", "noplugin", "future", "outline"}
    assert found["outline"].why == ""
    assert "made for planner v99, this k2core has v1; upgrade k2core" in found["future"].why
    assert not [name for name in sys.modules if name.startswith("acme")]
    assert "outline" in installed.names("planner")
    assert "future" not in installed.names("planner")


def test_a_good_plugin_loads_beside_broken_ones(installed: Registry) -> None:
    assert installed.load("planner", "outline").__name__ == "Outline"
    assert [name for name in sys.modules if name.startswith("acme")] == ["acme_outline"]


def test_a_pipeline_knows_which_version_fills_each_place(installed: Registry) -> None:
    installed.add("sampler", "mine", FakeSampler)
    config = PipelineConfig.from_dict(
        {"planner": {"use": "outline"}, "sampler": {"use": "mine"}, "decoders": {"solver": {"use": "recorded"}}}
    )
    origins = {slot.path: slot.origin for slot in installed.assemble(config)}
    assert origins["planner"] == "acme-outline 2.1"
    assert origins["sampler"] == ""
    assert origins["decoders.solver"].startswith("k2core-decoder-recorded ")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("future", PluginIncompatible, r"planner 'future' of acme-future 3.2 is made for planner v99"),
        ("broken", PluginIncompatible, r"acme-broken 1.0 cannot be imported: ModuleNotFoundError.*reinstall or remove acme-broken"),
        ("noplugin", PluginIncompatible, r"must name a class derived from k2core.Plugin"),
        ("outlin", PluginNotFound, r"did you mean 'outline'"),
        ("zzz", PluginNotFound, r"no planner plugin is named 'zzz'; installed: .*outline"),
    ],
)
def test_naming_a_bad_one_says_what_is_wrong(installed: Registry, name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        installed.load("planner", name)


def test_a_name_offered_twice_is_refused(installed: Registry, tmp_path: Path) -> None:
    make_distribution(tmp_path, "acme-rival", "1.0", {"k2core.planner.v1": {"outline": "acme_outline:Outline"}})
    with pytest.raises(
        PluginIncompatible, match=r"'outline' is offered by acme-outline 2.1 and acme-rival 1.0; uninstall all but one"
    ):
        Registry().load("planner", "outline")


def test_a_plugin_that_exits_when_imported_is_an_error_not_an_exit(installed: Registry, tmp_path: Path) -> None:
    make_distribution(
        tmp_path, "acme-exits", "1.0", {"k2core.planner.v1": {"exits": "acme_exits:P"}}, {"acme_exits.py": "raise SystemExit(3)"}
    )
    with pytest.raises(PluginIncompatible, match="SystemExit: 3"):
        Registry().load("planner", "exits")


def test_help_works_whatever_is_installed(tmp_path: Path) -> None:
    broken_distributions(tmp_path)
    commands = {"k2core.command.v1": {"crash": "acme_crashing:Command"}}
    make_distribution(tmp_path, "acme-command", "1.0", commands, summary="Crashes when imported.")
    done = subprocess.run(
        [sys.executable, "-m", "k2core", "--help"], env=with_path(tmp_path), capture_output=True, text=True, check=True
    )
    assert "crash" in done.stdout
    assert "from acme-command: Crashes when imported." in done.stdout


def test_what_an_update_adds_within_the_same_moment_is_found(tmp_path: Path) -> None:
    code = "import sys; from k2core import Registry; print(Registry().load('planner', sys.argv[1]).__name__)"
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def load(name: str) -> str:
        command = [sys.executable, "-c", code, name]
        return subprocess.run(command, env=with_path(root, env=env), check=True, capture_output=True, text=True).stdout.strip()

    offers = {"one": "k2core.testing:FakePlanner"}
    root = make_distribution(tmp_path / "site", "acme-one", "1.0", {"k2core.planner.v1": offers})
    assert load("one") == "FakePlanner"
    [points] = root.glob("*/entry_points.txt")
    before = points.stat()
    make_distribution(root, "acme-one", "1.0", {"k2core.planner.v1": offers | {"two": "k2core.testing:FakePlanner"}})
    os.utime(points, ns=(before.st_atime_ns, before.st_mtime_ns))  # by which alone a cache on disk could tell
    assert load("two") == "FakePlanner"
