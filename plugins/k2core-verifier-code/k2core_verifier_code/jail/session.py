"""The judge's side of a program: start it, talk with it within limits of time, and learn how it ended."""

from __future__ import annotations

import json
import math
import select
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any

from . import channel


class Stopped(BaseException):
    """The program cannot go on. A `BaseException`, so that no test catches it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


_IDLE = 0.05
"""Share of a processor below which a program counts as waiting."""


@dataclass
class Clock:
    """What a test may use. Seconds of processor time, by the clock, and by the clock for all tests together.

    The second is for those that wait: a program that gets less than its share of a busy machine, but computes, is given the third.
    """

    cpu: float
    wall: float
    end: float
    pid: int = 0
    _cpu_end: float = math.inf
    _began: float = math.inf

    def begin(self) -> None:
        """A new test begins."""
        self._began = time.monotonic()
        self._cpu_end = self._used() + self.cpu

    def _used(self) -> float:
        try:
            return time.clock_gettime((~self.pid << 3) | 2) if self.pid else 0.0  # the processor clock of another process
        except OSError:  # it has ended
            return 0.0

    def left(self) -> float:
        """Seconds until something may have run out. Raises `Stopped` when it has."""
        now, cpu = time.monotonic(), self._cpu_end - self._used()
        if cpu <= 0:
            raise Stopped("timeout", f"used more than {self.cpu:g} s of processor time")
        taken, waiting = now - self._began, self.cpu - cpu < _IDLE * (now - self._began)
        if taken >= self.wall and waiting:
            raise Stopped("timeout", f"took more than {self.wall:g} s")
        if now >= self.end:
            raise Stopped("timeout", "all tests together took too long")
        return min(cpu, self.wall - taken if taken < self.wall else self.wall, self.end - now)


class Session:
    """One program at a time, started by the zygote at the other end of `orders`."""

    def __init__(self, job: dict[str, Any], orders: socket.socket) -> None:
        self._job, self._orders = job, orders
        self.clock = Clock(job["timeout"], job["wall"], time.monotonic() + job["total"])
        self.link: socket.socket | None = None
        self.requests = 0
        self.key: str | None = None
        self._number = 0

    def start(self, *, main: bool = False, standard: tuple[int, ...] = ()) -> None:
        """Start a fresh program, and load the code without running it. Raises `Stopped` when it is no Python."""
        self.close()
        self.link, theirs = socket.socketpair()
        with theirs:
            self.clock.pid = self._order("spawn", [theirs.fileno(), *standard])["pid"]
        self.clock.begin()
        keys = ("sources", "wanted", "preamble")
        reply = self.ask({"op": "load", "main": main, **{key: self._job[key] for key in keys}})
        if "exception" in reply:
            raise Stopped("compile", f"does not compile: {described(reply['exception'])}")
        self.key = reply["key"]

    def run(self) -> None:
        """Execute the module. Raises `Stopped` when that fails."""
        reply = self.ask({"op": "run"})
        if "exception" in reply:
            raise Stopped("raised", f"raises when it is loaded: {described(reply['exception'])}")

    def ask(self, message: channel.Message) -> channel.Message:
        """Send a request and wait for what comes back. Raises `Stopped`."""
        assert self.link is not None
        try:
            self.link.settimeout(max(0.001, self.clock.left()))
            channel.send(self.link, message)
            return self.reply()
        except TimeoutError:
            self.clock.left()
            raise Stopped("timeout", "does not take its arguments in time") from None
        except BrokenPipeError:
            raise self.ended() from None

    def reply(self) -> channel.Message:
        """The next message of the program. Raises `Stopped`."""
        assert self.link is not None
        try:
            found = channel.receive(self.link, self._wait, channel.LONGEST)
        except OverflowError:
            raise Stopped("output", f"its value takes more than {channel.LONGEST >> 20} MB") from None
        except (ValueError, RecursionError):
            raise Stopped("output", "its value cannot be read") from None
        except ConnectionError:
            found = None
        if found is None:
            raise self.ended()
        return found

    def _wait(self) -> None:
        assert self.link is not None
        poller = select.poll()
        poller.register(self.link, select.POLLIN)
        while not poller.poll(math.ceil(self.clock.left() * 1000)):
            pass

    def ended(self) -> Stopped:
        """Why the program ended."""
        how = self.finish()
        code, cpu = how.get("code", 0), how.get("cpu", 0.0)
        if code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu >= self._job["cpu"] - 0.1):
            return Stopped("timeout", f"used more than {self._job['cpu']} s of processor time in all")
        if code == -signal.SIGKILL:
            return Stopped("memory", "was killed, probably for memory")
        if code < 0:
            return Stopped("crash", f"crashed with {signal.Signals(-code).name}")
        return Stopped("exit", f"ended itself with exit status {code}")

    def finish(self) -> dict[str, Any]:
        """Have what runs ended; exit code, processor seconds and peak bytes of the program."""
        self.clock.pid = 0
        deadline = time.monotonic() + 0.2
        while self.link is not None and time.monotonic() < deadline:  # let one that is ending come to its end
            if not self._order("poll", []).get("running"):
                break
            time.sleep(0.002)
        self.close()
        return self._order("end", [])

    def close(self) -> None:
        """Hang up; a program that waits for us ends by itself."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def _order(self, what: str, descriptors: list[int]) -> dict[str, Any]:
        self._number += 1
        body = json.dumps({"op": what, "number": self._number}).encode()
        socket.send_fds(self._orders, [body], descriptors)
        reply: dict[str, Any] = json.loads(self._orders.recv(1 << 16))
        return reply


def described(record: Any) -> str:
    """An exception in one line. The record comes from the program: anything may be in it."""
    if not isinstance(record, dict):
        return "an exception"
    text, where = str(record.get("text", ""))[:300], ""
    if record.get("line"):
        where = f" in line {str(record['line'])[:8]}: {str(record.get('source', ''))[:120]}"
    return " ".join(f"{str(record.get('type', 'exception'))[:60]}: {text}".removesuffix(": ").split()) + where
