"""Keeps a command and whatever that starts: run as a program, between the trainer and verl.

    keeper.py DRAIN GRACE SCRATCH COMMAND …

The command's descendants whose parents have ended become the keeper's children (Linux), also those in sessions of their own. So
none is left when the keeper has no child any more, and only then it ends. When the command has ended, they have GRACE seconds to
end by themselves; then comes SIGKILL.

Standard input: a byte asks for an end, by SIGTERM and, DRAIN seconds later, SIGKILL. Its end, which comes however the trainer ends,
means SIGKILL now. Standard output: the command's exit status, negative for a signal. Standard error: all output of the command.
The folder SCRATCH is removed in the end. It is run by its file's name, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Literal, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_AGAIN = 0.05
"""Seconds until processes are looked for again, once they are killed."""
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def keep(command: list[str], drain: float, grace: float) -> int:
    """The command's exit status, once nothing that it has started is left."""
    _control(_PR_SET_CHILD_SUBREAPER, 1)
    orders = _Orders()
    child, kill_at = _started(command), math.inf
    status: int | None = None
    while True:
        try:
            ended, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status or 0
        if ended == child:
            status, kill_at = os.waitstatus_to_exitcode(how), min(kill_at, time.monotonic() + grace)
        if ended:
            continue
        left = kill_at - time.monotonic()
        if left <= 0:
            _kill(child)
        match orders.wait(_AGAIN if left <= 0 else left):
            case "end":
                if status is None:
                    _signal_group(child, signal.SIGTERM)
                kill_at = min(kill_at, time.monotonic() + drain)
            case "kill":
                kill_at = -math.inf


class _Orders:
    """What is asked of the keeper: on its standard input, or by SIGTERM. Waiting for them ends early when a process has ended."""

    def __init__(self) -> None:
        self._wake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        self._sources = [self._wake, _STDIN]

    def wait(self, seconds: float) -> Literal["end", "kill", ""]:
        """The next, or nothing after so many seconds or sooner."""
        ready, _, _ = select.select(self._sources, [], [], None if seconds == math.inf else seconds)
        if _STDIN in ready:
            if os.read(_STDIN, 1):
                return "end"
            self._sources.remove(_STDIN)
            return "kill"
        return "end" if self._wake in ready and signal.SIGTERM in os.read(self._wake, 512) else ""


def _started(command: list[str]) -> int:
    """Process id of the command, in a session of its own. It is killed should the keeper be."""
    keeper, child = os.getpid(), os.fork()
    if child == 0:
        _become(command, keeper)
    return child


def _become(command: list[str], keeper: int) -> NoReturn:
    try:
        os.setsid()
        _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            os.dup2(os.open(os.devnull, os.O_RDONLY), _STDIN)
            os.dup2(_STDERR, _STDOUT)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):  # the last two Python has ignored
                signal.signal(number, signal.SIG_DFL)
            os.execvp(command[0], command)
    except OSError as error:
        os.write(_STDERR, f"OSError: cannot start {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _kill(child: int) -> None:
    """SIGKILL to all children; theirs are children of the keeper then. Where these cannot be listed, to the command's group."""
    if not Path("/proc/self/stat").exists():
        _signal_group(child, signal.SIGKILL)
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1]) == os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    drain, grace, scratch, *command = sys.argv[1:]
    found = keep(command, float(drain), float(grace))
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    with contextlib.suppress(BrokenPipeError):
        os.write(_STDOUT, str(found).encode())
