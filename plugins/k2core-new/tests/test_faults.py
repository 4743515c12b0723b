"""`k2 check` finds each way in which a package can be broken, and says what to do about it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest
from k2core_new.children import examined
from k2core_new.findings import PluginReport
from k2core_new.package import findings
from k2core_new.settings import CheckSettings
from k2core_new.target import Target
from plugin_dirs import BROKEN_IMPORT, CRASHING, NO_PLUGIN, SLOW, EntryPoints, make_distribution, with_path

from k2core import Found

CORE = ["k2core>=0.1,<0.2"]
PLANNER = {"k2core.planner.v1": {"bad": "acme_bad:Bad"}}
HEAD = "from k2core import Plan, Plugin, PluginConfig, hookimpl\n"
GOOD = (
    HEAD
    + '''
class BadConfig(PluginConfig):
    steps: int = 3
    """Most steps."""

class Bad(Plugin):
    config: BadConfig

    @hookimpl
    async def k2_plan(self, problem) -> Plan:
        return Plan(prompt="Add.")
'''
)
HANGS = GOOD.replace("        return Plan", "        import time\n        time.sleep(600)\n        return Plan")
DIES = GOOD.replace(
    "        return Plan",
    "        import os, sys\n        print('boom', file=sys.stderr, flush=True); os._exit(7)\n        return Plan",
)

PACKAGES: dict[str, tuple[EntryPoints, list[str], str, str]] = {
    # name: entry points, requirements, the check that fails, what is said
    "none": ({}, CORE, "offers_plugins", r'add \[project.entry-points."k2core.planner.v1"\]'),
    "unversioned": ({"k2core.planner": {"bad": "m:Bad"}}, CORE, "offers_plugins", "did you mean 'k2core.planner.v1'"),
    "misspelt": ({"k2core.planer.v1": {"bad": "m:Bad"}}, CORE, "roles_are_this_cores", "no role 'planer'.*did you mean 'planner'"),
    "newer": ({"k2core.planner.v2": {"bad": "m:Bad"}}, CORE, "roles_are_this_cores", "has v1; upgrade k2core"),
    "older": ({"k2core.planner.v0": {"bad": "m:Bad"}}, CORE, "roles_are_this_cores", "has v1; upgrade acme-older"),
    "taken": ({"k2core.planner.v1": {"think": "m:Bad"}}, CORE, "names_are_free", "offers a planner 'think', too.*rename it"),
    "coreless": (PLANNER, [], "core_is_required", 'add "k2core>=0.1,<0.2" to the dependencies'),
    "future": (PLANNER, ["k2core>=7"], "core_is_required", "it needs k2core>=7, and this k2core is 0.1.0"),
    "needy": (PLANNER, [*CORE, "acme-nowhere>=1"], "requirements_are_met", "pip install 'acme-nowhere>=1'"),
    "outdated": (PLANNER, [*CORE, "pydantic<1"], "requirements_are_met", "it needs pydantic<1, and pydantic 2"),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_wrong_with_the_package(name: str, tmp_path: Path) -> None:
    points, requires, check, message = PACKAGES[name]
    make_distribution(tmp_path, f"acme-{name}", "1.0", points, requires=requires)
    (dist,) = metadata.distributions(path=[str(tmp_path)])
    failed = {finding.check: finding.message for finding in findings(Target(name, dist)) if finding.outcome == "failed"}
    assert list(failed) == [check]
    assert re.search(message, failed[check]), failed[check]


def test_what_a_stranger_would_miss_is_advice(tmp_path: Path) -> None:
    make_distribution(tmp_path, "acme-bare", "1.0", PLANNER, requires=["k2core>=0.1", "acme-extra; extra == 'more'"])
    (dist,) = metadata.distributions(path=[str(tmp_path)])
    found = findings(Target("bare", dist))
    assert not [finding for finding in found if finding.outcome == "failed"]
    advice = " | ".join(finding.message for finding in found if finding.outcome == "advice")
    for part in ("k2core>=0.1 has no upper bound", "no readme", "no requires-python", "no license"):
        assert part in advice


def test_one_name_for_two_cores_is_no_fault(tmp_path: Path) -> None:
    make_distribution(tmp_path, "acme-both", "1.0", {**PLANNER, "k2core.planner.v2": {"bad": "acme_both.next:Bad"}}, requires=CORE)
    (dist,) = metadata.distributions(path=[str(tmp_path)])
    assert not [finding for finding in findings(Target("both", dist)) if finding.outcome == "failed"]


PLUGINS: dict[str, tuple[str, str, str]] = {
    # name: source, the check that fails, what is said
    "broken": (BROKEN_IMPORT, "loads", "No module named 'a_module_that_nobody_has'"),
    "attribute": (GOOD.replace("class Bad(", "class Good("), "loads", "has no attribute 'Bad'"),
    "noplugin": (NO_PLUGIN.replace("NoPlugin", "Bad"), "loads", "must name a class derived from k2core.Plugin"),
    "crashing": (CRASHING, "loads", r"it ended the process \(exit status 139\)"),
    "slow": (SLOW, "loads", "it took too long and was stopped"),
    "hangs": (HANGS, "leaves_the_loop_free", "it took too long and was stopped"),
    "dies": (DIES, "leaves_the_loop_free", r"it ended the process \(exit status 7\); last it said: boom"),
    "hookless": (GOOD.replace("k2_plan", "plan"), "loads", "Bad does not implement k2_plan"),
    "unmarked": (GOOD.replace("    @hookimpl\n", ""), "loads", "lacks the @hookimpl decorator"),
    "arguments": (GOOD.replace("problem)", "question)"), "hooks_match_their_specs", "takes 'question', which its"),
    "undocumented": (GOOD.replace('    """Most steps."""\n', ""), "config_is_documented", "steps"),
    "required": (GOOD.replace("int = 3", "int"), "config_is_documented", "steps"),
    "prints": (GOOD + "print('hello')\n", "import_is_quiet", "prints 'hello"),
    "heavy": ("import scipy\n" + GOOD, "import_is_light", "imports scipy; import in k2_start"),
    "client": (
        "import httpx\n" + GOOD.replace('    """Most steps."""\n', ""),  # undocumented, too, which spares the rest of the kit
        "import_brings_no_http_client",
        "imports httpx; import in k2_start",
    ),
    "text": (GOOD.replace('Plan(prompt="Add.")', '"Add."'), "works_as_planner", "Plan"),
}
LIMITED = {"slow": 3, "hangs": 20}
"""Seconds that are given to what would never end."""


def report_on(root: Path, name: str) -> PluginReport:
    module = f"acme_{name}"
    files = {f"{module}.py": PLUGINS[name][0], "scipy.py": "", "httpx.py": ""}  # it is the name that counts
    make_distribution(root / name, f"acme-{name}", "1.0", {"k2core.planner.v1": {"bad": f"{module}:Bad"}}, files, requires=CORE)
    found = Found("planner", 1, "bad", f"acme-{name}", "1.0", f"{module}:Bad")
    return examined(found, str(root / name), CheckSettings(), LIMITED.get(name, 90))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, PluginReport]:
    root = tmp_path_factory.mktemp("packages")
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(PLUGINS, pool.map(lambda name: report_on(root, name), PLUGINS), strict=True))


@pytest.mark.parametrize("name", PLUGINS)
def test_what_is_wrong_with_the_plugin(name: str, outcomes: Mapping[str, PluginReport]) -> None:
    _, check, message = PLUGINS[name]
    failed = {finding.check: finding.message for finding in outcomes[name].findings if finding.outcome == "failed"}
    assert check in failed, failed
    assert re.search(message, failed[check]), failed[check]
    assert not outcomes[name].ok


def run(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "k2core", "check", *arguments]
    return subprocess.run(command, env=with_path(root), cwd=root, capture_output=True, text=True, timeout=120)


def test_one_bad_plugin_among_good_ones_is_named(tmp_path: Path) -> None:
    points = {"k2core.planner.v1": {"fine": "acme_two:Bad", "bad": "acme_none:Bad"}, "k2core.planner.v9": {"fine": "acme_nine:Bad"}}
    make_distribution(tmp_path, "acme-two", "1.0", points, {"acme_two.py": GOOD}, requires=["k2core>=0.1"])
    done = run("acme-two", "--jobs", "2", "--verbose", root=tmp_path)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "acme-two 1.0, from acme-two"
    assert any(line.startswith("failed  planner bad  loads: planner 'bad' of acme-two 1.0 cannot be imported") for line in lines)
    assert not any(line.startswith("failed  planner fine") for line in lines)
    assert "advice  package  before_publishing: k2core>=0.1 has no upper bound" in done.stdout
    assert lines[-1] == "not ok: 1 of 2 plugins, 1 of 1 packages"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["k2core-samplr"], "no distribution 'k2core-samplr' is installed; did you mean k2core-sampler?"),
        (["./nowhere"], "there is no ./nowhere"),
        (["."], r"holds no pyproject.toml"),
        (["k2core-sampler", "--only", "nobody"], "has no plugin nobody for this k2core; it has: "),
        (["k2core-sampler", "--settings", "none.toml"], "cannot read none.toml"),
        (["./broken"], "cannot be built and installed; pip said:"),
        (["./typo"], r"tool.k2core.check.x.patiance: unknown option; did you mean 'patience'?"),
    ],
)
def test_what_cannot_be_checked_is_wrong_usage(arguments: list[str], message: str, tmp_path: Path) -> None:
    for name, text in {"broken": "", "typo": "[tool.k2core.check.x]\npatiance = 1\n"}.items():
        (tmp_path / name).mkdir()
        backend = "hatchling.build" if text else "hatchling.nowhere"
        build = f'[build-system]\nrequires = ["hatchling"]\nbuild-backend = "{backend}"\n'
        (tmp_path / name / "pyproject.toml").write_text(build + text)
    done = run(*arguments, root=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
