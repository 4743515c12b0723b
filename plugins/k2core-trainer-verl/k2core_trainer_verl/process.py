"""A child process with all that it starts: followed while it runs, and nothing of it left when it has ended, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from k2core.toolkit.child import die_with_parent

from . import marked
from .marked import MARK

_GRACE = 5.0
"""Seconds for processes that end by themselves once the child has ended, such as Ray's."""
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
    scratch: str = ""
    """A folder that is of no use once the child has ended."""


async def run(child: Child, watch: Callable[[], None] = lambda: None, every: float = 0.5) -> int:
    """The child's exit status; negative for a signal. `watch` is called every so many seconds, and once more at the end.

    Cancelled, or when `watch` raises: the child gets SIGTERM, time to drain, then SIGKILL. In any case every process of the run is
    gone on return. Should this process be killed, its keeper ends them, and removes the scratch folder (Linux).
    """
    mark = secrets.token_hex(8)
    async with _keeper(child, mark):
        process = await _start(child, mark)
        ended = asyncio.ensure_future(process.wait())
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=every)
                watch()
            return ended.result()
        finally:
            await _end(process, ended, child.drain, mark)


@contextlib.asynccontextmanager
async def _keeper(child: Child, mark: str) -> AsyncIterator[None]:
    """A process that only waits for the end of its input, which the kernel closes should this process be killed. In a session of
    its own, so that what a terminal sends to a whole group does not end it first."""
    command = [sys.executable, "-I", marked.__file__, mark, child.scratch]
    with child.log.open("ab") as log:
        keeper = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=asyncio.subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        await asyncio.shield(asyncio.ensure_future(keeper.wait()))


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
            preexec_fn=functools.partial(die_with_parent, os.getpid()),
        )


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Future[int], drain: float, mark: str) -> None:
    """Shielded: a second cancellation does not leave processes behind."""
    await asyncio.shield(asyncio.ensure_future(_ended(process, ended, drain, mark)))


async def _ended(process: asyncio.subprocess.Process, ended: asyncio.Future[int], drain: float, mark: str) -> None:
    if not ended.done():
        _signal(process.pid, signal.SIGTERM)
        await asyncio.wait([ended], timeout=drain)
    until = time.monotonic() + _GRACE
    while ended.done() and marked.alive(mark) and time.monotonic() < until:  # noqa: ASYNC110 (not ours to signal)
        await asyncio.sleep(0.1)
    _signal(process.pid, signal.SIGKILL)
    await ended
    await asyncio.to_thread(marked.end, mark)


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
