"""Answers the pool: forks a judge for each job, and sees to it that nothing of a job is left when the next one comes."""

from __future__ import annotations

import ctypes  # noqa: F401  # so that forks have it
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from . import channel, filter, kernel
from .zygote import Zygote, rules

PRELOADED = """
    abc array ast asyncio base64 bisect calendar cmath collections collections.abc contextlib copy dataclasses
    datetime decimal enum fractions functools hashlib heapq inspect io itertools json math numbers operator queue
    random re secrets statistics string struct textwrap threading time timeit traceback types typing unicodedata
    uuid warnings zlib
""".split()
"""Modules that programs often import: loaded once, shared by the forks."""

_KEPT = (
    kernel.CAP_CHOWN,
    kernel.CAP_DAC_OVERRIDE,
    kernel.CAP_DAC_READ_SEARCH,
    kernel.CAP_FOWNER,
    kernel.CAP_KILL,
    kernel.CAP_SETGID,
    kernel.CAP_SETUID,
)
"""What the zygote needs of root's powers: to give programs a user and a folder of their own, and to end them."""

_GRACE = 2.0
"""Seconds that a judge gets beyond the limit for all tests, to write its report."""


class Supervisor:
    """One worker of the pool."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._pool = socket.socket(fileno=os.dup(0))
        self._pool.setblocking(True)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        self._zygote, self._orders = 0, socket.socket()
        self._number = 0
        self._filter = filter.Filter()

    def run(self) -> None:
        """Set the sandbox up, say so, and serve until the pool hangs up."""
        try:
            self._set_up()
        except Exception as error:
            channel.send(self._pool, {"error": f"the {self._settings['backend']} sandbox could not be set up: {error!r}"})
            return
        channel.send(self._pool, {"ready": True})
        while (message := channel.receive(self._pool)) is not None:
            reply = self._answer(message)
            channel.send(self._pool, reply)
            if reply.get("last"):
                break

    def _set_up(self) -> None:
        sys.path[:] = self._settings["path"]
        for name in [*PRELOADED, *self._settings["preload"]]:
            importlib.import_module(name)
        from . import judge  # noqa: F401  # before files are out of reach

        if self._settings["root"]:
            kernel.keep_capabilities(_KEPT)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        if kernel.landlock_abi():
            kernel.landlock(rules(self._settings))
        self._fork_zygote()
        if self._settings["root"]:
            kernel.become(self._settings["judge"], self._settings["search"])
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        gc.collect()
        gc.freeze()

    def _fork_zygote(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._zygote = os.fork()
        if self._zygote == 0:
            try:
                self._orders.close()
                self._pool.close()
                Zygote(theirs, self._settings).run()
            finally:
                os._exit(0)
        theirs.close()

    def _answer(self, job: channel.Message) -> channel.Message:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._judge(job, writer)
        os.close(writer)
        deadline = time.monotonic() + job["total"] + _GRACE
        try:
            report = _collect(reader, deadline)
        finally:
            os.close(reader)
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        reply = report or _without_report(job, status, time.monotonic() >= deadline)
        return reply if self._clean() else {**reply, "last": True}

    def _judge(self, job: channel.Message, writer: int) -> NoReturn:
        try:
            kernel.die_with(os.getppid())
            self._pool.close()
            from . import judge

            for which, value in ((resource.RLIMIT_AS, job["judge_memory"]), (resource.RLIMIT_CORE, 0)):
                resource.setrlimit(which, (value, value))
            self._filter.install()
            report = judge.judge(job, self._orders)
            with open(writer, "wb") as stream:
                stream.write(json.dumps(report).encode())
        finally:
            os._exit(0)

    def _clean(self) -> bool:
        """Have the zygote remove what is left; False when this worker had better be replaced."""
        self._number += 1
        try:
            self._orders.settimeout(10.0)
            self._orders.send(json.dumps({"op": "clean", "number": -self._number}).encode())
            while (reply := json.loads(self._orders.recv(1 << 16) or b'{"number": 0, "spoilt": true}'))["number"] != -self._number:
                if reply["number"] == 0:
                    break
            self._orders.settimeout(None)
            return not reply.get("spoilt")
        except OSError:
            return False


def _without_report(job: channel.Message, status: int, late: bool) -> channel.Message:
    """What to say when the judge said nothing: values can be made so that to compare them takes for ever."""
    if late:
        text = f"the tests came to no end within {job['total']:g} s"
        return {"passed": 0, "total": max(1, job["suite"]["size"]), "test": None, "kind": "timeout", "text": text, "key": None}
    return {"error": f"the judging process ended without a word (exit status {os.waitstatus_to_exitcode(status)})"}


def _collect(reader: int, deadline: float) -> channel.Message | None:
    """What the judge writes until it ends; None when that is nothing, or it is late."""
    poller, data = select.poll(), bytearray()
    poller.register(reader, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            return None
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            return json.loads(data) if data else None
        data += chunk


def main() -> None:
    """Entry point: settings are the first argument, as JSON."""
    settings = json.loads(sys.argv[1])
    sys.argv[:] = ["k2core-verifier-code"]
    Supervisor(settings).run()
