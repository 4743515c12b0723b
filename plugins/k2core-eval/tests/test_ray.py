"""The Ray executor, on real clusters of this machine: same files as the local one, also when workers or the driver are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from k2core_eval.running.ray import RayExecutor, origins, reach
from k2core_eval.store.folder import Folder

from k2core.config import PipelineConfig
from k2core.errors import ConfigError

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="ray is not installed: make heavy tests this in an environment with it"
)
PROBLEMS, REPEATS = 16, 2
MARK = "K2_RAY_TEST"
"""Variable by which the processes of these tests are told from others."""


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'k2core-eval\[ray\]'"):
        RayExecutor(PipelineConfig())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark, and recorded answers that are served slowly enough to be interrupted."""
    path = tmp_path_factory.mktemp("ray")
    rows = [{"id": f"p{at}", "problem": f"What is {at} + 1?", "answer": str(at + 1)} for at in range(PROBLEMS)]
    said = [{"pid": f"p{at}", "completion": f"It is, as far as I know, \\boxed{{{at + at % 3}}}."} for at in range(PROBLEMS)]
    for name, lines in (("sums.jsonl", rows), ("said.jsonl", said)):
        (path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    solver = f'[decoders.solver]\nuse = "recorded"\npath = "{path}/said.jsonl"\ndelay = 0.05\n'
    (path / "pipeline.toml").write_text(f'[sampler]\nuse = "single"\n[verifiers.math]\n{solver}')
    return path


def environment(mark: str) -> dict[str, str]:
    return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", MARK: mark}


def command(place: Path, out: Path, *more: str) -> list[str]:
    run = [sys.executable, "-m", "k2core", "eval", "run", str(place / "sums.jsonl"), "--config", str(place / "pipeline.toml")]
    return [*run, "--repeats", str(REPEATS), "--concurrency", "8", "--out", str(out), *more]


def evaluated(place: Path, out: Path, *more: str, mark: str = "driver") -> subprocess.CompletedProcess[str]:
    run = command(place, out, *more)
    return subprocess.run(run, env=environment(mark), capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def local(place: Path) -> Folder:
    """The same evaluation in one process."""
    ended = evaluated(place, place / "local")
    assert ended.returncode == 0, ended.stderr
    return Folder(place / "local")


class Cluster:
    """A head node of two CPUs on a free port."""

    def __init__(self, path: Path, **more: str) -> None:
        self.mark = uuid.uuid4().hex
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._environment = environment(self.mark) | more
        start = [
            "start",
            "--head",
            f"--port={port}",
            "--num-cpus=2",
            "--include-dashboard=false",
            "--object-store-memory=100000000",
        ]
        self._log = (path / "head.log").open("w")
        self._head = self._run(*start, "--node-ip-address=127.0.0.1")
        wait_for(lambda: "--block" in (path / "head.log").read_text(), 90)

    def _run(self, *words: str) -> subprocess.Popen[bytes]:
        ray = [str(Path(sys.executable).with_name("ray")), *words, "--block", "--disable-usage-stats"]
        return subprocess.Popen(ray, env=self._environment, stdout=self._log, stderr=self._log, start_new_session=True)

    def workers(self) -> list[int]:
        """The actors' processes."""
        return [pid for pid in marked(self.mark) if b"ray::Worker" in told(pid, "cmdline")]

    def close(self) -> None:
        """End the head, and everything that it started."""
        self._head.terminate()
        try:
            self._head.wait(30)
        finally:
            wait_for(lambda: not marked(self.mark), 60, lambda: [os.kill(pid, signal.SIGKILL) for pid in marked(self.mark)])
            self._log.close()


def told(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def marked(mark: str) -> list[int]:
    wanted = f"{MARK}={mark}".encode()
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and wanted in told(int(entry.name), "environ")
    ]


def wait_for(true: Callable[[], object], seconds: float, otherwise: Callable[[], object] | None = None) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            assert otherwise, "it did not happen in time"
            otherwise()
            return
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("head"))
    try:
        yield made
    finally:
        made.close()


def same(folder: Folder, as_local: Folder) -> None:
    """Nothing lost, nothing twice, byte for byte."""
    for name in ("samples.jsonl", "problems.jsonl", "run.json", "summary.json"):
        assert folder.file(name).read_bytes() == as_local.file(name).read_bytes(), name
    ids = [sample.id for sample in folder.samples()]
    assert len(ids) == len(set(ids)) == PROBLEMS * REPEATS
    blocks = [json.loads(line) for line in folder.file("traces.jsonl").read_bytes().splitlines()]
    assert [block["kind"] for block in blocks].count("sample") == len(ids)


def attempts(folder: Folder, kind: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in folder.file("attempts.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@needs_ray
def test_a_cluster_of_its_own_brings_the_same_files_and_ends(place: Path, local: Folder) -> None:
    mark = uuid.uuid4().hex
    ended = evaluated(place, place / "own", "--executor", "ray", "--ray-workers", "2", mark=mark)
    assert ended.returncode == 0, ended.stderr
    same(Folder(place / "own"), local)
    wait_for(lambda: not marked(mark), 60)


@needs_ray
def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_twice(place: Path, local: Folder, cluster: Cluster) -> None:
    out = Folder(place / "killed")
    run = command(place, out.path, "--executor", "ray", "--ray-address", cluster.address, "--ray-workers", "2")
    with subprocess.Popen(run, env=environment("driver"), stderr=subprocess.PIPE, text=True) as driver:
        wait_for(lambda: out.file("samples.jsonl").exists() and list(out.samples()), 60)
        before = cluster.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        _, told = driver.communicate(timeout=120)
    assert driver.returncode == 0, told
    same(out, local)
    lost = attempts(out, "failed")
    assert lost
    assert all("the Ray worker was lost, and what it had spent is unknown" in str(line["error"]) for line in lost)
    assert len(attempts(out, "started")) == PROBLEMS * REPEATS + len(lost)


@needs_ray
def test_a_killed_driver_goes_on_where_it_was(place: Path, local: Folder, cluster: Cluster) -> None:
    out = Folder(place / "driver")
    ray = ("--executor", "ray", "--ray-address", cluster.address)
    with subprocess.Popen(command(place, out.path, *ray), env=environment("driver"), stderr=subprocess.DEVNULL) as driver:
        wait_for(lambda: out.file("samples.jsonl").exists() and len(list(out.samples())) > 4, 60)
        driver.kill()
    wait_for(lambda: not cluster.workers(), 60)
    assert 4 < len(list(out.samples())) < PROBLEMS * REPEATS
    ended = evaluated(place, out.path, *ray)
    assert ended.returncode == 0, ended.stderr
    assert "interrupted" in ended.stderr
    same(out, local)


@needs_ray
def test_a_cluster_that_is_too_small_or_not_there_is_told(place: Path, cluster: Cluster) -> None:
    ended = evaluated(place, place / "none", "--executor", "ray", "--ray-address", cluster.address, "--ray-workers", "3")
    assert ended.returncode == 2
    assert "has 2 CPUs; 3 workers need one each" in ended.stderr
    ended = evaluated(place, place / "none", "--executor", "ray", "--ray-address", "127.0.0.1:1")
    assert ended.returncode == 2
    assert "there is no Ray cluster at '127.0.0.1:1'" in ended.stderr


CANCEL = """
import asyncio, sys
from k2core.config import PipelineConfig
from k2core.types import Problem
from k2core_eval.running.ray import RayExecutor, origins, reach

async def main(config, address):
    executor = RayExecutor(PipelineConfig.from_file(config), address=address, workers=1)
    async with executor:
        runs = [asyncio.create_task(executor.solve(Problem(id=f"p{at}", prompt="?"), at)) for at in range(4)]
        await asyncio.sleep(0.2)
        for run in runs[:3]:
            run.cancel()
        ended = await asyncio.gather(*runs, return_exceptions=True)
    print([type(one).__name__ for one in ended], sum(one.usage.cancelled for one in executor.abandoned))

asyncio.run(main(*sys.argv[1:]))
"""


@needs_ray
def test_cancelled_runs_are_ended_on_the_worker_and_their_spend_is_known(place: Path, cluster: Cluster) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CANCEL, str(place / "pipeline.toml"), cluster.address],
        env=environment("driver"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout.strip() == "['CancelledError', 'CancelledError', 'CancelledError', 'Solved'] 3", ended.stderr


@needs_ray
def test_workers_without_k2core_are_told(place: Path, tmp_path: Path) -> None:
    """A cluster whose Python has no k2core-eval."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'k2core_eval':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
    )
    bare = Cluster(tmp_path, PYTHONPATH=str(tmp_path))
    try:
        ended = evaluated(place, tmp_path / "none", "--executor", "ray", "--ray-address", bare.address, "--ray-workers", "1")
    finally:
        bare.close()
    assert ended.returncode == 2, ended.stderr
    assert "the Ray workers have no k2core-eval: install it on every node" in ended.stderr


class FakeRay:
    """Stands where the module is only looked up."""


def executor(monkeypatch: pytest.MonkeyPatch) -> RayExecutor:
    monkeypatch.setitem(sys.modules, "ray", FakeRay())  # type: ignore[arg-type]  # never used as a module
    return RayExecutor(PipelineConfig.from_dict({"sampler": {"use": "single"}, "decoders": {"solver": {"use": "recorded"}}}))


def test_workers_with_other_versions_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = executor(monkeypatch)
    here = origins(made._config)
    made._same(here)
    with pytest.raises(ConfigError, match=r"Ray workers have k2core-sampler 0\.0\.1 for sampler, and here it is k2core-sampler"):
        made._same({**here, "sampler": "k2core-sampler 0.0.1"})
    with pytest.raises(ConfigError, match=r"Ray workers have nothing for k2core-eval"):
        made._same({name: origin for name, origin in here.items() if name != "k2core-eval"})


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:10001", "127.0.0.1:port", "[::1]:1"])
def test_an_address_where_nobody_is_fails_at_once(address: str) -> None:
    with pytest.raises(ConfigError, match="--ray-address"):
        reach(address)
