"""`k2` in processes that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest


class Forks:
    """`k2` commands, one at a time."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forks.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def start(self, args: Sequence[str], fsize: int = 0) -> int:
        """Begin a command; returns its process."""
        assert self._server.stdin is not None
        self.log.write_bytes(b"")
        self._server.stdin.write(json.dumps({"args": list(args), "log": str(self.log), "fsize": fsize}) + "\n")
        self._server.stdin.flush()
        return int(self._answer()["pid"])

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return int(self._answer()["status"])

    def run(self, args: Sequence[str], fsize: int = 0) -> tuple[int, str]:
        """Exit status and output of a command."""
        self.start(args, fsize)
        return self.wait(), self.log.read_text()

    def stop_at(self, args: Sequence[str], number: int, when: Callable[[], bool]) -> int:
        """Send a signal as soon as `when()` holds; the exit status, which may be that of a command that was faster."""
        pid, until = self.start(args), time.monotonic() + 60
        while not when() and time.monotonic() < until and os.path.exists(f"/proc/{pid}/stat") and not _ended(pid):
            time.sleep(0.0005)
        if not _ended(pid):
            os.kill(pid, number)
        return self.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    pytest.importorskip("torch")
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    made = Forks(tmp_path_factory.mktemp("forks") / "log.txt")
    yield made
    made.close()
