"""What a process holds: threads, child processes, open files and sockets; and what of it is new."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import threading
import time
from dataclasses import dataclass
from pathlib import Path

RELEASE = 1.0
"""Seconds in which threads, processes and files that were let go of must be gone."""
_PROC = Path("/proc/self/fd")


@dataclass(frozen=True)
class Holdings:
    """What this process holds at one moment."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]
    files: frozenset[tuple[int, str]]
    """Descriptor and what it is open on; empty where there is no /proc."""


def holdings() -> Holdings:
    """What there is at this moment, garbage that nobody refers to any more included."""
    threads = frozenset(thread for thread in threading.enumerate() if thread.name != "k2core-testing")
    return Holdings(threads, frozenset(children()), frozenset(_files()))


def children() -> dict[int, str]:
    """Child processes and their command lines, but for Python's own resource tracker; none where there is no /proc."""
    found: dict[int, str] = {}
    for pid in _child_ids():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            found[pid] = command or "a zombie that nobody has waited for"
    return {pid: command for pid, command in found.items() if "multiprocessing.resource_tracker" not in command}


def _child_ids() -> list[int]:
    found: list[int] = []
    lists = list(Path("/proc/self/task").glob("*/children"))
    for path in lists:
        with contextlib.suppress(OSError):  # the thread has ended since
            found += map(int, path.read_text().split())
    if lists:
        return found
    for entry in Path("/proc").glob("[0-9]*"):  # a kernel without lists of children
        with contextlib.suppress(OSError, IndexError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(int(entry.name))
    return found


def _files() -> list[tuple[int, str]]:
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir(_PROC):
            with contextlib.suppress(OSError):
                found.append((int(entry), os.readlink(_PROC / entry)))
    return found


def left_behind(before: Holdings, *, files: bool = True) -> list[str]:
    """What this process holds more than `before`, given `RELEASE` seconds to let go of it."""
    end = time.monotonic() + RELEASE
    left = _difference(before, holdings(), files)
    while left and time.monotonic() < end:
        gc.collect()  # what nobody refers to any more does not count
        time.sleep(0.02)
        left = _difference(before, holdings(), files)
    return left


def _difference(before: Holdings, now: Holdings, files: bool) -> list[str]:
    left = [f"the thread {thread.name!r}" for thread in now.threads - before.threads]
    commands = children()
    left += [f"the process {pid} ({commands.get(pid, 'ended since')})" for pid in now.children - before.children]
    if files:
        left += [f"descriptor {number} on {target}" for number, target in sorted(now.files - before.files)]
    return left


def resident() -> int:
    """Bytes of memory that this process holds; 0 where there is no `/proc`."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return 0
