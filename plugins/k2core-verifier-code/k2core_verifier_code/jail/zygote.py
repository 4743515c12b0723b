"""The process that forks the programs. It has never seen a test, so its children have none in their memory."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import resource
import shutil
import signal
import socket
import sys
from typing import Any, NoReturn

from . import filter, kernel
from .program import Program

WORK = "/tmp/work"
"""The program's private folder, in the sandbox's own /tmp, where there is one."""
_LINK = 3


class Zygote:
    """Forks one program at a time, ends it, and says how it ended."""

    def __init__(self, orders: socket.socket, settings: dict[str, Any]) -> None:
        self._orders, self._settings = orders, settings
        self._child = 0
        self._filter = filter.Filter(files=bool(settings["disk"]), processes=bool(settings["processes"]))

    def run(self) -> None:
        """Obey until the supervisor hangs up."""
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        gc.collect()
        gc.freeze()
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._orders, 1 << 16, 4)
            if not data:
                break
            order = json.loads(data)
            reply = {"spawn": self._spawn, "poll": self._poll, "end": self._end, "clean": self._clean}[order["op"]](descriptors)
            self._orders.send(json.dumps({"number": order["number"], **reply}).encode())
        self._end([])

    def _spawn(self, descriptors: list[int]) -> dict[str, Any]:
        self._end([])
        if self._settings["disk"]:
            _fresh_folder(self._settings["uid"])
        parent = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            self._become_program(parent, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return {"pid": self._child}

    def _poll(self, descriptors: list[int]) -> dict[str, Any]:
        ended = not self._child or os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return {"running": not ended}

    def _end(self, descriptors: list[int]) -> dict[str, Any]:
        """Kill the program and what it started, and wait for all of it."""
        if not self._child:
            return {}
        pid, self._child = self._child, 0
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        if self._settings["processes"]:
            self._end_group(pid)
        code = os.waitstatus_to_exitcode(status)
        return {"code": code, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}

    def _end_group(self, group: int) -> None:
        """Nobody leaves the group: the filter denies setsid and setpgid. Orphans are ours, as we are the subreaper."""
        while True:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _clean(self, descriptors: list[int]) -> dict[str, Any]:
        self._end([])
        if self._settings["disk"]:
            try:
                _empty("/tmp")
            except (OSError, RecursionError):
                return {"spoilt": True}
        return {}

    def _become_program(self, parent: int, descriptors: list[int]) -> NoReturn:
        try:
            atexit._clear()
            self._orders.close()
            _place(descriptors)
            restrict(self._settings, parent, self._filter)
            link = socket.socket(fileno=_LINK)
            if len(descriptors) > 1:
                _open_standard_streams()
            Program(link).serve()
        finally:
            os._exit(1)


def _open_standard_streams() -> None:
    """New ones: those that there are belong to the null device."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="replace", closefd=False)  # type: ignore[misc]  # noqa: SIM115 # final by name only; open for the process's life
    sys.stdout = sys.__stdout__ = _writer(1)  # type: ignore[misc] # final by name only
    sys.stderr = sys.__stderr__ = _writer(2)  # type: ignore[misc] # final by name only


def _writer(descriptor: int) -> io.TextIOWrapper:
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _place(descriptors: list[int]) -> None:
    """Descriptor 3 is the link; 0, 1 and 2 are what was sent, or the null device as before; all else is closed."""
    high = [os.dup2(one, 100 + place) for place, one in enumerate(descriptors)]
    for source, target in zip(high, (_LINK, 0, 1, 2), strict=False):
        os.dup2(source, target)
    os.closerange(_LINK + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def rules(settings: dict[str, Any]) -> list[tuple[str, int]]:
    """What may be read and written, for Landlock."""
    found = [(path, kernel.READ) for path in settings["readable"]] + [(path, kernel.DEVICE) for path in settings["devices"]]
    return found + ([("/tmp", kernel.WRITE)] if settings["disk"] else [])


def restrict(settings: dict[str, Any], parent: int, allowed: filter.Filter) -> None:
    """Confine this process for good: limits, user, files, system calls."""
    disk, processes = settings["disk"], settings["processes"]
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: settings["cpu"],
        resource.RLIMIT_FSIZE: disk,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if settings["count"]:
        limits[resource.RLIMIT_NPROC] = settings["count"]
    for which, value in limits.items():
        _lower(which, value)
    if processes:
        os.setpgid(0, 0)
    if settings["root"]:
        kernel.become(settings["uid"], settings["search"])
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.die_with(parent)
    if kernel.landlock_abi():
        kernel.landlock(rules(settings), nested=True)
    os.chdir(WORK if disk else "/")
    allowed.install()
    _lower(resource.RLIMIT_AS, settings["memory"])


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _fresh_folder(uid: int | None) -> None:
    os.mkdir(WORK, 0o700)
    if uid is not None:
        os.chown(WORK, uid, uid)


def _empty(folder: str) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
