"""The comparison process: jobs in, opinions out, each a 4-byte length and JSON, until the input ends.

It never decides when to stop by itself: the pool kills it. Should the pool's process die first, the end of the input, the death
signal (Linux) and the limit on processor time each end this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import struct
import sys
import warnings
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1
_GRACE = 5
"""Seconds of processor time over the time-out after which the kernel ends a process that nobody killed."""


def main() -> None:
    """Arguments: memory limit in MB, process id of the pool."""
    memory_mb, parent = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    jobs, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        from .compare import compare
    except Exception as error:
        send(replies, {"error": f"{type(error).__name__}: {error}"})
        return
    _limit(resource.RLIMIT_AS, memory_mb * 1024 * 1024)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    send(replies, {"ready": True})
    while (job := receive(jobs)) is not None:
        _processor_time(float(job["timeout"]))
        try:
            outcome, reason = compare(job["gold"], job["answer"], symmetric=job["symmetric"])
        except MemoryError:
            send(replies, {"outcome": "undecided", "reason": f"comparing needs more than {memory_mb} MB", "last": True})
            return
        except RecursionError:
            outcome, reason = "undecided", "nested too deep to compare"
        except Exception as error:
            outcome, reason = "undecided", f"comparing failed: {type(error).__name__}: {error}"[:300]
        send(replies, {"outcome": outcome, "reason": reason})


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Write one message. Raises `OSError` when nobody reads."""
    body = json.dumps(message).encode()
    stream.write(struct.pack(">I", len(body)) + body)
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any] | None:
    """Read one message; None at the end of the input."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    message: dict[str, Any] = json.loads(stream.read(struct.unpack(">I", head)[0]))
    return message


def _die_with(parent: int) -> None:
    """Ask the kernel for a SIGKILL when the thread that started this process ends. The pool's threads live as long as it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)


def _limit(which: int, value: int) -> None:
    """Lower a resource limit; macOS knows some of them only by name."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))


def _processor_time(timeout: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + timeout) + _GRACE
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
