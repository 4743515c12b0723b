"""`k2 doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from k2core_cli import checks
from k2core_cli.health import Health

from k2core import Found, PipelineConfig

Run = Callable[..., Any]


def test_the_whole_examination_ends_with_a_line_for_everything(k2: Run, monkeypatch: pytest.MonkeyPatch, pipeline: Path) -> None:
    monkeypatch.setattr(PipelineConfig, "default", lambda: PipelineConfig.from_file(pipeline))
    monkeypatch.setenv("PYTHONPATH", str(pipeline.parent / "dist"))
    done = k2("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.out)}
    names = ["python", "platform", "cpu", "memory", "home", "cache", "disk", "encoding", "plugins", "pipeline"]
    assert list(found) == names
    assert done.status == 0
    assert found["pipeline"]["status"] == "ok"


def test_every_finding_is_a_line_with_its_advice_below(k2: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [checks.Finding("cpu", "ok", "2 cores"), checks.Finding("memory", "warn", "little", "buy some")]
    monkeypatch.setattr(checks, "all_checks", lambda: iter(findings))
    done = k2("doctor")
    assert (done.status, done.out) == (0, "ok    cpu     2 cores\nwarn  memory  little\n              -> buy some\n")


def test_a_default_pipeline_that_cannot_run_fails_with_advice(k2: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = PipelineConfig.from_dict({"sampler": {"use": "nobody-has-this"}})
    monkeypatch.setattr(PipelineConfig, "default", lambda: broken)
    monkeypatch.setattr("k2core_cli.health.check_all", lambda: [])
    done = k2("doctor")
    assert done.status == 1
    [line] = [line for line in done.out.splitlines() if line.startswith("fail")]
    assert "sampler.use: no sampler plugin is named 'nobody-has-this'" in line


def test_a_broken_plugin_of_the_default_pipeline_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    config = PipelineConfig.from_dict({"sampler": {"use": "crashing"}})
    monkeypatch.setattr(PipelineConfig, "default", lambda: config)
    health = Health(Found("sampler", 1, "crashing", "acme", "1", "acme:X"), "importing it ends the process")
    [finding] = checks.default_pipeline([health])
    assert finding.status == "fail"
    assert finding.text == "sampler crashing: importing it ends the process"


@pytest.mark.parametrize(("version", "status"), [((3, 10), "fail"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 99), "warn")])
def test_python(version: tuple[int, int], status: str) -> None:
    assert checks.python(version).status == status


@pytest.mark.parametrize(("name", "status"), [("utf-8", "ok"), ("UTF8", "ok"), ("ascii", "warn"), (None, "warn")])
def test_encoding(name: str | None, status: str) -> None:
    assert checks.encoding(name).status == status


@pytest.mark.parametrize(("available", "status"), [(None, "ok"), (0.5, "warn"), (16.0, "ok")])
def test_memory(monkeypatch: pytest.MonkeyPatch, available: float | None, status: str) -> None:
    monkeypatch.setattr(checks, "_available_memory", lambda: available)
    assert checks.memory().status == status


@pytest.mark.parametrize(("load", "status"), [(0.0, "ok"), (10_000.0, "warn")])
def test_cpu(monkeypatch: pytest.MonkeyPatch, load: float, status: str) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0, 0))
    assert checks.cpu().status == status


def test_a_folder_that_cannot_be_written_is_a_warning_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert checks.folder("cache", tmp_path / "new" / "one", "move").status == "ok"
    finding = checks.folder("cache", Path("/proc/k2core"), "set K2CORE_CACHE")
    assert (finding.status, finding.advice) == ("warn", "set K2CORE_CACHE")


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.delenv("K2CORE_CACHE", raising=False)
    assert checks.cache_folder() == Path("/xdg/k2core")
    monkeypatch.setenv("K2CORE_CACHE", "/mine")
    assert checks.cache_folder() == Path("/mine")


def test_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.disk(tmp_path / "not" / "there").status == "ok"
    monkeypatch.setattr(checks, "DISK", 1e9)
    assert checks.disk(tmp_path).status == "warn"


def test_broken_plugins_are_a_warning_that_names_them() -> None:
    found = Found("planner", 1, "bad", "acme", "1", "acme:Bad")
    assert checks.plugins([Health(found)]).status == "ok"
    finding = checks.plugins([Health(found), Health(found, "no module")])
    assert finding.status == "warn"
    assert finding.text == "1 of 2 installed plugins can be used"
    assert finding.advice == "planner bad (acme): no module"


def test_a_model_that_is_not_here_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.model("solver", "k2-nano").status == "ok"
    monkeypatch.setenv("K2CORE_CACHE", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    finding = checks.model("solver", "k2-nano")
    assert finding.status == "warn"
    assert "k2 models get k2-nano" in finding.advice


def test_a_model_that_nobody_knows_is_a_failure() -> None:
    finding = checks.model("solver", "k3-nano")
    assert (finding.status, "unknown model 'k3-nano'" in finding.text) == ("fail", True)
    assert "k2core-nano" in finding.advice
