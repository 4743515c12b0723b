"""A child process with all that it starts: followed while it runs, and nothing of it left when it has ended, however it ends."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KEEPER = Path(__file__).with_name("keeper.py")
_ERROR = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|Exit)\b(?:[:(]|$)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"(?:\([\w.<>]+ pid=\d+(?:, ip=[\d.]+)?\) |\[rank\d+\]: ?)+")
"""What Ray and torchrun put before a line of a process of theirs."""


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
    grace: float = 5.0
    """Seconds, once it has ended, for processes that it has started and that end by themselves, such as Ray's."""
    scratch: str = ""
    """A folder that is of no use once the child has ended."""


async def run(child: Child, watch: Callable[[], None] = lambda: None, every: float = 0.5) -> int:
    """The child's exit status; negative for a signal. `watch` is called every so many seconds, and once more at the end.

    Cancelled, or when `watch` raises: the child gets SIGTERM, time to drain, then SIGKILL; cancelled again, SIGKILL at once. In any
    case every process that it has started is gone on return, and its scratch folder. A keeper, which is the child's parent, sees to
    that also when this process is killed.
    """
    keeper = await _keeper(child)
    ended = asyncio.ensure_future(_status(keeper))
    try:
        while not ended.done():
            await asyncio.wait([ended], timeout=every)
            watch()
        return ended.result()
    finally:
        await _end(keeper, ended)


async def _keeper(child: Child) -> asyncio.subprocess.Process:
    """In a session of its own, so that what a terminal sends to a whole group does not end the keeper before what it keeps."""
    command = [sys.executable, "-I", str(_KEEPER), str(child.drain), str(child.grace), child.scratch, *child.command]
    pipe = asyncio.subprocess.PIPE
    with child.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=log, cwd=child.folder, env=child.environment, start_new_session=True
        )


async def _status(keeper: asyncio.subprocess.Process) -> int:
    """What the keeper tells; its own, should it tell nothing."""
    assert keeper.stdout is not None
    told = await keeper.stdout.read()
    own = await keeper.wait()
    return int(told) if told else own


async def _end(keeper: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> None:
    """Ask for an end, and wait for it. Raises `CancelledError` when cancelled, but not before."""
    assert keeper.stdin is not None
    if not ended.done():
        keeper.stdin.write(b"e")
    try:
        await asyncio.shield(ended)
    finally:
        keeper.stdin.close()
        await asyncio.wait([ended])


def reason(log: Path, lines: int = 400) -> str:
    """Why a child has failed, from the end of its log: its last error in one line, else its last line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200_000))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"its log cannot be read: {error}"
    last = [clean for line in text.splitlines()[-lines:] if (clean := _clean(line))]
    errors = [line for line in last if _ERROR.match(line) and "ChildFailedError" not in line]  # it only says that another failed
    return (errors or last or ["it wrote nothing"])[-1][:500]


def _clean(line: str) -> str:
    plain = _COLOUR.sub("", line)
    before = _PREFIX.match(plain)
    return plain[before.end() if before else 0 :].strip()
