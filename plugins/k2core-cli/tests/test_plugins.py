"""`k2 plugins`, and a command line that broken plugins cannot disturb."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from k2core_cli.health import check_all
from plugin_dirs import broken_distributions, make_distribution

from k2core import Found

Run = Callable[..., Any]


@pytest.fixture
def broken(fakes: Path) -> Path:
    return broken_distributions(fakes)


def test_every_broken_plugin_is_listed_with_the_reason(k2_process: Run, broken: Path) -> None:
    done = k2_process("plugins", "--json", "--timeout", "3")
    assert done.status == 0, done.err
    told = {(plugin["role"], plugin["name"]): plugin for plugin in json.loads(done.out)}
    assert told["planner", "crashing"]["why"] == "importing it ends the process (exit status 139)"
    assert told["planner", "slow"]["why"] == "importing it takes longer than 3 s"
    assert "No module named 'a_module_that_nobody_has'" in told["planner", "broken"]["why"]
    assert "derived from k2core.Plugin" in told["planner", "noplugin"]["why"]
    assert "made for planner v99" in told["planner", "future"]["why"]
    assert told["planner", "fake"]["ok"]
    assert told["verifier", "fake"] | {"summary": ""} == {
        "role": "verifier",
        "name": "fake",
        "role_version": 1,
        "distribution": "acme-fakes",
        "version": "1.0",
        "entry_point": "k2core.testing:FakeVerifier",
        "summary": "",
        "ok": True,
        "why": "",
    }


def test_the_table_and_the_strict_status(k2_process: Run, fakes: Path) -> None:
    make_distribution(fakes, "acme-broken", "2.0", {"k2core.hook.v1": {"bad": "acme_bad:Bad"}}, {"acme_bad.py": "1/0\n"})
    done = k2_process("plugins", "--strict")
    assert done.status == 1
    [row] = [line for line in done.out.splitlines() if " bad " in line]
    assert row.startswith("hook ")
    assert "acme-broken 2.0" in row
    assert "ZeroDivisionError" in row


def test_nothing_that_a_plugin_prints_confuses_the_report(k2_process: Run, fakes: Path) -> None:
    source = "import os, sys\nprint('[]')\nos.write(1, b'{}')\nfrom k2core.testing import FakePlanner\n"
    make_distribution(fakes, "acme-loud", "1.0", {"k2core.planner.v1": {"loud": "acme_loud:FakePlanner"}}, {"acme_loud.py": source})
    told = json.loads(k2_process("plugins", "--json").out)
    assert [plugin["ok"] for plugin in told if plugin["name"] == "loud"] == [True]


def test_a_plugin_that_exits_with_success_is_still_no_plugin(k2_process: Run, fakes: Path) -> None:
    source = {"acme_exit.py": "import os\nos._exit(0)\n"}
    make_distribution(fakes, "acme-exit", "1.0", {"k2core.hook.v1": {"exit": "acme_exit:X"}}, source)
    told = json.loads(k2_process("plugins", "--json").out)
    assert [plugin["why"] for plugin in told if plugin["name"] == "exit"] == ["importing it ends the process (exit status 0)"]


def test_a_killed_import_names_the_signal(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"acme_segv.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"}
    make_distribution(fakes, "acme-segv", "1.0", {"k2core.hook.v1": {"segv": "acme_segv:X"}}, source)
    monkeypatch.setenv("PYTHONPATH", str(fakes))
    [health] = check_all([Found("hook", 1, "segv", "acme-segv", "1.0", "acme_segv:X")])
    assert health.why == "importing it ends the process (SIGSEGV)"


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "inf"])
def test_nonsense_time_outs_are_refused(k2: Run, timeout: str) -> None:
    assert k2("plugins", "--timeout", timeout).status == 2


def test_broken_plugins_disturb_neither_help_nor_think(k2: Run, broken: Path, pipeline: Path) -> None:
    assert "think " in k2("--help").out
    done = k2("think", "6*7?", "--config", pipeline)
    assert (done.status, done.out) == (0, "The answer is 42.\n")


def test_a_broken_plugin_that_is_asked_for_is_named(k2: Run, broken: Path, pipeline: Path) -> None:
    done = k2("think", "6*7?", "--config", pipeline, "--set", "planner.use=broken")
    assert done.status == 2
    assert "planner.use: planner 'broken' of acme-broken 1.0 cannot be imported" in done.err
