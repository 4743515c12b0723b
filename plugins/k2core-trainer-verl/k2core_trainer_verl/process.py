"""A child process with all that it starts: followed while it runs, and nothing of it left when it has ended, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "K2CORE_VERL_RUN"
"""Environment variable that all processes of a run inherit, also those that Ray puts into sessions of their own."""
_PR_SET_PDEATHSIG = 1
_GRACE = 5.0
"""Seconds for processes that end by themselves once the child has ended, such as Ray's."""
_EXEC = 0.5
"""Most seconds to look again at processes that show no environment."""
_ERROR = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|Exit)\b(?:[:(]|$)")
_PREFIX = re.compile(r"\x1b\[[0-9;]*m|^\((?:[\w.<>]+) pid=\d+(?:, ip=[\d.]+)?\) ")


@dataclass(frozen=True)
class Child:
    """What to start. Output goes to the end of `log`."""

    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    folder: Path
    """Working directory."""
    drain: float = 20.0
    """Seconds to end after SIGTERM, before SIGKILL."""


async def run(child: Child, watch: Callable[[], None] = lambda: None, every: float = 0.5) -> int:
    """The child's exit status; negative for a signal. `watch` is called every so many seconds, and once more at the end.

    Cancelled, or when `watch` raises: the child gets SIGTERM, time to drain, then SIGKILL. In any case every process of the run is
    gone on return. Should this process be killed, the child is killed with it (Linux), and Ray's processes end with that.
    """
    mark = secrets.token_hex(8)
    process = await _start(child, mark)
    ended = asyncio.ensure_future(process.wait())
    try:
        while not ended.done():
            await asyncio.wait([ended], timeout=every)
            watch()
        return ended.result()
    finally:
        await _end(process, ended, child.drain, mark)


async def _start(child: Child, mark: str) -> asyncio.subprocess.Process:
    with child.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *child.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            cwd=child.folder,
            env={**child.environment, MARK: mark},
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Future[int], drain: float, mark: str) -> None:
    """Shielded: a second cancellation does not leave processes behind."""
    await asyncio.shield(asyncio.ensure_future(_ended(process, ended, drain, mark)))


async def _ended(process: asyncio.subprocess.Process, ended: asyncio.Future[int], drain: float, mark: str) -> None:
    if not ended.done():
        _signal(process.pid, signal.SIGTERM)
        await asyncio.wait([ended], timeout=drain)
    until = time.monotonic() + _GRACE
    while ended.done() and alive(mark) and time.monotonic() < until:  # noqa: ASYNC110 (not ours to signal)
        await asyncio.sleep(0.1)
    _signal(process.pid, signal.SIGKILL)
    await ended
    while left := alive(mark):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.05)


def alive(mark: str, processes: Path = Path("/proc")) -> list[int]:
    """Process ids of the run's processes, but for those that have ended and wait to be reaped. Linux; elsewhere none is found."""
    wanted, found = f"{MARK}={mark}".encode(), []
    until = time.monotonic() + _EXEC
    for entry in processes.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in _environment(entry, until).split(b"\0") and _state(entry) not in ("Z", "X"):
                found.append(int(entry.name))
    return found


def _environment(entry: Path, until: float) -> bytes:
    """A process that is just becoming another program (execve) shows none for a moment: looked at again, until then. Threads of the
    kernel, which never have one, have no program either. Raises `OSError`."""
    while not (found := (entry / "environ").read_bytes()) and time.monotonic() < until and (entry / "exe").readlink():
        time.sleep(0.005)
    return found


def _state(entry: Path) -> str:
    return (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]


def reason(log: Path, lines: int = 400) -> str:
    """Why a child has failed, from the end of its log: its last error in one line, else its last line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200_000))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"its log cannot be read: {error}"
    last = [clean for line in text.splitlines()[-lines:] if (clean := _PREFIX.sub("", _PREFIX.sub("", line)).strip())]
    errors = [line for line in last if _ERROR.match(line) and "ChildFailedError" not in line]  # it only says that another failed
    return (errors or last or ["it wrote nothing"])[-1][:500]


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _die_with_parent() -> None:
    """In the child, before it becomes the command: to be killed when the trainer's process ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
