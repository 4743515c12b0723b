"""The processes of a run, known by a mark in their environment: found, and ended.

Run as a program, it is the keeper of a run: when its input ends, as it does however its parent ends, it ends what is left. Run
by its file's name, it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "K2CORE_VERL_RUN"
"""Environment variable that all processes of a run inherit, also those that Ray puts into sessions of their own."""
_EXEC = 0.5
"""Most seconds to look again at processes that show no environment."""
_PAUSE = 0.05
"""Seconds between two looks at processes that have been sent SIGKILL."""


def alive(mark: str, processes: Path = Path("/proc")) -> list[int]:
    """Process ids of the run's processes, but for those that have ended and wait to be reaped. Linux; elsewhere none is found."""
    wanted, found = f"{MARK}={mark}".encode(), []
    until = time.monotonic() + _EXEC
    for entry in processes.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in _environment(entry, until).split(b"\0") and _state(entry) not in ("Z", "X"):
                found.append(int(entry.name))
    return found


def end(mark: str) -> None:
    """Until no process of the run is left: SIGKILL to all that are."""
    while left := alive(mark):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def _environment(entry: Path, until: float) -> bytes:
    """A process that is just becoming another program (execve) shows none for a moment: looked at again, until then. Threads of the
    kernel, which never have one, have no program either. Raises `OSError`."""
    while not (found := (entry / "environ").read_bytes()) and time.monotonic() < until and (entry / "exe").readlink():
        time.sleep(0.005)
    return found


def _state(entry: Path) -> str:
    return (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]


def _keep(mark: str, scratch: str) -> None:
    """Until the input ends; then nothing of the run stays, nor its scratch folder."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    end(mark)
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    _keep(*sys.argv[1:])
