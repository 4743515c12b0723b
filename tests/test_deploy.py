"""`deploy/`: checked as far as a machine without a container daemon, systemd as its first process, or a cluster can."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from k2core import PipelineConfig, Runtime

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
HADOLINT = Path(sys.executable).with_name("hadolint")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


# the container


def instructions() -> list[tuple[str, str]]:
    """Name and text of each instruction, lines that go on joined, comments gone."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    joined = text.replace("\\\n", " ")
    return [(name, rest.strip()) for line in joined.splitlines() if line.strip() for name, _, rest in [line.partition(" ")]]


def plugins() -> list[str]:
    [value] = [rest for name, rest in instructions() if name == "ARG"]
    return value.partition("=")[2].strip('"').split()


def test_what_the_container_copies_is_there_and_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in allowed, f"{source} does not reach the build"


def test_the_containers_distributions_are_complete() -> None:
    """pip would ask an index for what is missing, and could get somebody else's."""
    known = {*plugins(), "k2core", "k2core-hooks"}
    for folder in [ROOT, ROOT / "hooks", *(ROOT / "plugins" / name for name in plugins())]:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        needs = {Requirement(text).name for text in project["dependencies"]}
        assert {need for need in needs if need.startswith("k2core")} <= known, f"{project['name']} needs more"


def test_the_container_runs_as_nobody_and_keeps_no_key() -> None:
    steps = instructions()
    assert [rest for name, rest in steps if name == "USER"] == ["10001"]
    assert ("STOPSIGNAL", "SIGTERM") in steps
    assert not [rest for name, rest in steps if name == "ENV" and re.search("key|token|secret", rest, re.IGNORECASE)]


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed: make heavy")
def test_hadolint_finds_nothing() -> None:
    """But for the words of `PLUGINS`, which are to be split."""
    done = run(str(HADOLINT), "--failure-threshold", "info", "--ignore", "SC2046", str(DEPLOY / "Containerfile"))
    assert done.returncode == 0, done.stdout


# what is served


@pytest.mark.parametrize("folder", [DEPLOY, KUBERNETES], ids=["deploy", "kubernetes"])
def test_the_configuration_loads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pytest.importorskip("k2core_serve.settings").load(folder / "serve.toml")
    assert set(settings.keys) == {"default"}
    for model in settings.served.values():
        for preset in [(), *model.presets.values()]:
            assert Runtime(PipelineConfig.from_file(model.config, [*model.set, *preset]))


def test_one_pipeline_for_all() -> None:
    assert (KUBERNETES / "pipeline.toml").read_text() == (DEPLOY / "pipeline.toml").read_text()


def answer(url: str, data: bytes | None = None) -> int:
    """The HTTP status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_what_all_start_serves_asks_for_a_key_and_stops_in_order(tmp_path: Path) -> None:
    """The container's command, with a place to write to and a port of this machine."""
    pytest.importorskip("k2core_serve")
    [arguments] = [json.loads(rest) for name, rest in instructions() if name == "CMD"]
    assert arguments == ["serve", "--serve", "/etc/k2core/serve.toml", "--host", "0.0.0.0"]
    shutil.copy(DEPLOY / "pipeline.toml", tmp_path)
    (tmp_path / "serve.toml").write_text((DEPLOY / "serve.toml").read_text().replace("/var/lib/k2core", str(tmp_path)))
    command = [
        sys.executable,
        "-m",
        "k2core",
        "serve",
        "--serve",
        str(tmp_path / "serve.toml"),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    env = {**os.environ, "K2CORE_KEY": "not-a-real-key-but-long-enough"}
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            line = server.stdout.readline()
            assert line.startswith("serving reasoner at "), line + (server.stderr.read() if server.stderr else "")
            root = line.split()[-1].removesuffix("/v1")
            assert answer(f"{root}/healthz") == 200
            assert answer(f"{root}/readyz") == 200
            assert answer(f"{root}/v1/chat/completions", b"{}") == 401
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    assert (tmp_path / "requests.sqlite").exists()


# systemd


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists here, as it is looked for."""
    text = (DEPLOY / "k2core.service").read_text().replace("/opt/k2core/bin/k2", sys.executable)
    path = tmp_path / "k2core.service"
    path.write_text(text)
    return path


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(unit: Path) -> None:
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit))
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "k2core" in line], done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_unit_exposes_little(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(unit))
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if "✗" in line or "Overall" in line)


def test_the_unit_waits_for_the_drain() -> None:
    text = (DEPLOY / "k2core.service").read_text()
    drain = tomllib.loads((DEPLOY / "serve.toml").read_text())["drain_seconds"]
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0]) > drain


# Kubernetes


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """As kustomize builds them, where kubectl is there; else as they are written, without the config map."""
    if shutil.which("kubectl"):
        done = run("kubectl", "kustomize", str(KUBERNETES))
        assert done.returncode == 0, done.stderr
        return [made for made in yaml.safe_load_all(done.stdout) if made]
    files = [KUBERNETES / "vllm.yaml", KUBERNETES / "k2core.yaml"]
    return [made for file in files for made in yaml.safe_load_all(file.read_text())]


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(made for made in objects if made["kind"] == kind and made["metadata"]["name"] == name)


def test_the_objects_fit_kubernetes_schema(objects: list[dict[str, Any]]) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make heavy")
    for made in objects:
        validate.validate(made, "1.32", strict=True)


@pytest.mark.parametrize("name", ["k2core", "vllm"])
def test_selectors_ports_and_probes_fit_each_other(name: str, objects: list[dict[str, Any]]) -> None:
    deployment, service = named(objects, "Deployment", name), named(objects, "Service", name)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["port"] for probe in probes} <= ports
    volumes = {volume["name"] for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_pod_outlives_the_drain(objects: list[dict[str, Any]]) -> None:
    pod = named(objects, "Deployment", "k2core")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    drain = tomllib.loads((KUBERNETES / "serve.toml").read_text())["drain_seconds"]
    assert pod["terminationGracePeriodSeconds"] > drain + int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_pipeline_asks_the_service_that_vllm_has(objects: list[dict[str, Any]]) -> None:
    decoder = tomllib.loads((KUBERNETES / "pipeline.toml").read_text())["decoders"]["solver"]
    service = named(objects, "Service", "vllm")
    assert decoder["base_url"] == f"http://vllm:{service['spec']['ports'][0]['port']}/v1"
    [container] = named(objects, "Deployment", "vllm")["spec"]["template"]["spec"]["containers"]
    assert f"--model={decoder['model']}" in container["args"]
