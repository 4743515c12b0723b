"""The supervisor, with real processes: a small server that can crash, hang and leave children behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_vllm.supervisor import Policy, Supervisor

SERVER = textwrap.dedent("""
    import http.server, os, signal, subprocess, sys, time

    port, folder, mode = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(f"{folder}/pids", "a") as file:
        print(os.getpid(), child.pid, file=file)
    if mode == "crash":
        sys.exit(3)
    if mode == "hang":
        time.sleep(600)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        def end(*_):
            open(f"{folder}/drained", "w").close()
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
        def log_message(self, *_): ...

    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
""")
QUICK = Policy(start_timeout=20, poll=0.05, restarts=2, pause=0.05, most_pause=0.1, drain=5)


class Stage:
    """A supervisor of the little server, and what it told."""

    def __init__(self, folder: Path, mode: str, policy: Policy) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        script = folder / "server.py"
        script.write_text(SERVER)
        command = [sys.executable, str(script), str(port), str(folder), mode]
        self.folder, self.lines, self.readies = folder, list[str](), 0
        self.supervisor = Supervisor(command, f"http://127.0.0.1:{port}/", self.lines.append, policy=policy, ready=self.ready)

    def ready(self) -> None:
        self.readies += 1

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.folder / "pids").read_text().split()]

    def left(self) -> list[int]:
        return [pid for pid in self.pids() if running(pid)]


def running(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def test_it_starts_tells_and_drains(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "serve", QUICK)

    async def main() -> int:
        work = asyncio.create_task(stage.supervisor.run())
        await until(lambda: stage.readies)
        stage.supervisor.stop()
        return await work

    assert asyncio.run(main()) == 0
    assert (tmp_path / "drained").exists()
    assert len(stage.pids()) == 2
    assert stage.left() == []


def test_a_killed_server_is_started_again_and_its_children_are_gone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "serve", QUICK)

    async def main() -> None:
        work = asyncio.create_task(stage.supervisor.run())
        await until(lambda: stage.readies == 1)
        first = stage.supervisor.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: stage.readies == 2)
        assert stage.supervisor.pid != first
        assert [running(pid) for pid in stage.pids()] == [False, False, True, True]
        stage.supervisor.stop()
        assert await work == 0

    asyncio.run(main())
    assert any("status -9; starting it again" in line for line in stage.lines)
    assert stage.left() == []


def test_a_server_that_always_crashes_is_given_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "crash", QUICK)
    assert asyncio.run(stage.supervisor.run()) == 1
    assert stage.supervisor.starts == 3
    assert "status 3; giving up after 3 starts" in stage.lines[-1]
    pauses = [line.split(" in ")[1] for line in stage.lines if "again" in line]
    assert pauses == ["0.05 s (1 of 2)", "0.1 s (2 of 2)"]
    assert stage.left() == []


def test_a_server_that_never_gets_healthy_is_given_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "hang", Policy(start_timeout=0.5, poll=0.05, restarts=0))
    assert asyncio.run(stage.supervisor.run()) == 1
    assert "not healthy within 0.5 s" in stage.lines[-1]
    assert stage.left() == []


def test_a_server_that_does_not_drain_is_killed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "deaf", Policy(poll=0.05, drain=0.3))

    async def main() -> int:
        work = asyncio.create_task(stage.supervisor.run())
        await until(lambda: stage.readies)
        stage.supervisor.stop()
        return await work

    assert asyncio.run(main()) == 0
    assert stage.left() == []


def test_a_cancelled_supervisor_leaves_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "serve", QUICK)

    async def main() -> None:
        work = asyncio.create_task(stage.supervisor.run())
        await until(lambda: stage.readies)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(main())
    assert stage.left() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_the_server_ends_with_a_killed_supervisor(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("import time; time.sleep(600)")
    code = (
        "import asyncio, sys\nfrom k2core_decoder_vllm.supervisor import Supervisor\n"
        "server = Supervisor([sys.executable, sys.argv[1]], 'http://127.0.0.1:9/', print)\n"
        "async def main():\n    work = asyncio.create_task(server.run())\n"
        "    while server.pid is None: await asyncio.sleep(0.01)\n    print('pid', server.pid, flush=True)\n    await work\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline().split()[1])
        assert running(pid)
        supervisor.kill()
    asyncio.run(until(lambda: not running(pid), 5))
