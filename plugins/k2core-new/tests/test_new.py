"""`k2 new`: names that fit, files that are the documentation's examples, and nothing overwritten."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from k2core_new.check import Check
from k2core_new.names import Names
from k2core_new.new import New
from k2core_new.scaffold import core_requirement, example, plan, project, write
from k2core_new.settings import CheckSettings

import k2core
from k2core import ConfigError, Plugin
from k2core.spec import ROLE_VERSIONS
from k2core.testing import assert_conforms

PAGES = Path(__file__).parents[3] / "docs" / "plugins"
BLOCK = re.compile(r"^```(?:python|toml)\n# (?P<name>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = {
    "planner": ("outline", "Outline"),
    "sampler": ("agree", "Agree"),
    "verifier": ("brief", "Brief"),
    "decoder": ("counter", "Counter"),
    "trainer": ("keep", "Keep"),
    "tasks": ("sums", "Sums"),
    "hook": ("stopwatch", "Stopwatch"),
    "command": ("installed", "Installed"),
}
"""The example of each role's page."""


@pytest.mark.skipif(not PAGES.is_dir(), reason="the documentation is not part of this checkout")
@pytest.mark.parametrize("role", ROLE_VERSIONS)
def test_the_templates_are_the_pages_examples(role: str) -> None:
    page = (PAGES / f"{role}.md").read_text(encoding="utf-8")
    shown = {match["name"]: match["text"] for match in BLOCK.finditer(page)}
    written = {Path(path).name: text for path, text in example(Names(role, *SHOWN[role])).items()}
    assert shown == written, f"docs/plugins/{role}.md and k2core_new/templates/{role} differ: change both"


@pytest.mark.parametrize("role", ROLE_VERSIONS)
def test_nothing_of_the_template_is_left(role: str) -> None:
    files = project(plan(role, "my-own"))
    for path, text in files.items():
        assert not re.search(r"__[A-Z]+__", text), path
        if path.endswith(".py"):
            compile(text, path, "exec")
    pyproject = tomllib.loads(files["pyproject.toml"])
    assert pyproject["project"]["entry-points"] == {f"k2core.{role}.v{ROLE_VERSIONS[role]}": {"my-own": "k2core_my_own:MyOwn"}}
    assert core_requirement() in pyproject["project"]["dependencies"]


def test_a_new_plugin_depends_on_this_minor_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert core_requirement() == "k2core>=0.1,<0.2"
    monkeypatch.setattr(k2core, "__version__", "1.4.2")
    assert core_requirement() == "k2core>=1.4,<2"


@pytest.mark.parametrize("name", ["My", "1st", "a_b", "a--b", "-a", "a-", "", "é", "a b", "../x", "x" * 61])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError, match=r"NAME: must be words of small letters"):
        plan("planner", name)


def test_names_that_are_taken() -> None:
    with pytest.raises(ConfigError, match=r"k2core-cli .* has a command 'think' already"):
        plan("command", "think")
    with pytest.raises(ConfigError, match="there is a module k2core_cli already"):
        plan("planner", "cli")


@pytest.mark.parametrize(
    ("role", "name", "cls"),
    [
        ("hook", "counter", "CounterHook"),  # collections.Counter
        ("planner", "plan", "PlanPlanner"),
        ("verifier", "none", "NoneVerifier"),
        ("verifier", "plugin", "PluginVerifier"),
        ("verifier", "k2core-units", "Units"),
        ("verifier", "class", "Class"),
    ],
)
def test_a_class_hides_nothing(role: str, name: str, cls: str) -> None:
    names = plan(role, name)
    assert names.cls == cls
    source = project(names)[f"{names.module}.py"]
    compile(source, "plugin", "exec")
    assert source.count(f"class {cls}(") == 1


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already, and not empty; nothing was written"):
        write({"a.txt": "a"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match="is there already"):
        write({"a.txt": "a"}, tmp_path / "mine.txt")


def test_the_command_says_where_it_wrote_and_what_to_do_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "k2core", "new", "verifier", "tidy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "k2core-tidy\n"), done.stderr
    assert "k2 check ./k2core-tidy" in done.stderr
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    names = [".gitignore", "README.md", "k2core_tidy.py", "pipeline.toml", "pyproject.toml", "tests/test_tidy.py"]
    assert files == [f"k2core-tidy/{name}" for name in names]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert again.returncode == 2
    assert "--dir: k2core-tidy is there already" in again.stderr


@pytest.mark.parametrize("command", [New, Check])
def test_the_commands_keep_the_rules_of_theirs(command: type[Plugin]) -> None:
    assert_conforms("command", command)


@pytest.mark.skipif(not PAGES.is_dir(), reason="the documentation is not part of this checkout")
def test_the_page_names_every_option_and_setting() -> None:
    page = (PAGES / "new.md").read_text("utf-8")
    app = argparse.ArgumentParser().add_subparsers()
    New().k2_commands(app=app)
    Check().k2_commands(app=app)
    options = {option for parser in app.choices.values() for action in parser._actions for option in action.option_strings}
    documented = set(re.findall(r"^\| `(--\w+)", page, re.MULTILINE))
    assert documented == options - {"-h", "--help"}
    table = page[page.index("| setting | |") :]
    rows = re.findall(r"^\| (`.+?`) \|", table[: table.index("\n\n")], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(CheckSettings.model_fields)
