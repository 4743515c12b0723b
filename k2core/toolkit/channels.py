"""The processes of a pool, one by one: spawned or forked, each at the other end of a socket. `processes` says what they speak."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

_LONGEST = 256 << 20
"""Bytes of the longest reply; a process that announces more is broken."""
_FORK_TIMEOUT = 20.0
_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)
_ENDED = _HUNG_UP | select.POLLHUP | select.POLLERR | select.POLLNVAL


class Broken(Exception):
    """The process was killed for time, has ended, or speaks another language; the message says which."""


class TooLate(Broken):
    """The job's patience ended before its turn came; no process has seen it."""


class Process:
    """One end of a socket, and who is at the other. Only `interrupt` may be called from another thread than the owner's."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self.channel, self.pid = channel, pid

    def greet(self, seconds: float) -> None:
        """Wait for the first message. Raises `RuntimeError` with what the process says is wrong."""
        try:
            hello = self._read(time.monotonic() + seconds, "starting", seconds)
        except Broken as error:
            raise RuntimeError(f"the process could not be started: {error}") from error
        if not hello.get("ready"):
            raise RuntimeError(str(hello.get("error", f"the process said {hello!r:.200} instead of being ready")))

    def exchange(self, message: Message, seconds: float) -> Message:
        """Send a message and wait for the reply. Raises `Broken`."""
        deadline, body = time.monotonic() + seconds, json.dumps(message).encode()
        try:
            self.channel.settimeout(seconds)
            self.channel.sendall(struct.pack(">I", len(body)) + body)
        except TimeoutError:
            raise Broken(f"took more than {seconds:g} s") from None
        except OSError as error:
            raise Broken("the process had ended") from error
        return self._read(deadline, "", seconds)

    def _read(self, deadline: float, what: str, seconds: float) -> Message:
        head = self._receive(4, deadline, what, seconds)
        [length] = struct.unpack(">I", head)
        if length > _LONGEST:
            raise Broken("the process sent something else than a message")
        try:
            message = json.loads(self._receive(length, deadline, what, seconds))
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise Broken("the process sent something else than a message")
        return message

    def _receive(self, count: int, deadline: float, what: str, seconds: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                self.channel.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = self.channel.recv(min(1 << 20, count - len(data)))
            except TimeoutError:
                raise Broken(f"{what} took more than {seconds:g} s".strip()) from None
            except OSError:
                chunk = b""
            if not chunk:
                raise Broken(f"{what} the process ended{self._post_mortem()}".strip())
            data += chunk
        return bytes(data)

    def alive(self) -> bool:
        """Whether the other end is still open. Reads nothing: another thread may be waiting for a message."""
        try:
            poller = select.poll()
            poller.register(self.channel, select.POLLIN | _HUNG_UP)
            return not any(events & _ENDED for _, events in poller.poll(0))
        except (OSError, ValueError):
            return False

    def interrupt(self) -> None:
        """Make whoever waits for a reply see the end."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Close this copy of the socket, without a word to the process."""
        self.channel.close()

    def end(self) -> None:
        """Kill the process and wait for its end."""
        raise NotImplementedError

    def _post_mortem(self) -> str:
        return ""


class Spawned(Process):
    """A child of this program, in a process group of its own: a key press in the terminal does not reach it."""

    def __init__(self, channel: socket.socket, popen: subprocess.Popen[bytes]) -> None:
        super().__init__(channel, popen.pid)
        self._popen = popen

    def _post_mortem(self) -> str:
        """The exit status, if there is one soon. Not reaped yet: until `end` nobody else can get its process id."""
        for _ in range(20 if hasattr(os, "waitid") else 0):
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                return f" (exit status {found.si_status if found.si_code == os.CLD_EXITED else -found.si_status})"
            time.sleep(0.01)
        return ""

    def abandon(self) -> None:
        super().abandon()
        self._popen.returncode = 0  # it is the parent's child, not ours: nothing to wait for

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.kill()
        self._popen.wait()
        self.channel.close()


def spawn(command: Sequence[str]) -> Spawned:
    """Start a process whose standard input and output are our socket. Raises `RuntimeError`."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            end = theirs.fileno()
            popen = subprocess.Popen([*command], stdin=end, stdout=end, stderr=subprocess.DEVNULL, process_group=0)
        except (OSError, ValueError) as error:
            ours.close()
            raise RuntimeError(f"cannot start {command[0] if command else 'an empty command'}: {error}") from error
    return Spawned(ours, popen)


class Forked(Process):
    """A child of the zygote, which alone may kill it: the process id cannot have passed to anybody else."""

    def __init__(self, channel: socket.socket, pid: int, zygote: Zygote) -> None:
        super().__init__(channel, pid)
        self._zygote = zygote

    def end(self) -> None:
        self._zygote.kill(self.pid)
        self.channel.close()


class Zygote:
    """The process that forks the others. Started by the first who needs it, and again should it ever break."""

    def __init__(self, command: Callable[[], Sequence[str]], start_timeout: float) -> None:
        self._command, self._start_timeout = command, start_timeout
        self._lock = threading.Lock()
        self._process: Spawned | None = None
        self._ended = False

    def fork(self) -> Forked:
        """A new worker. Raises `RuntimeError` when the zygote cannot start, `Broken` when it fails."""
        with self._lock:
            process = self._started()
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    socket.send_fds(process.channel, [b"F"], [theirs.fileno()])
                reply = process._read(time.monotonic() + _FORK_TIMEOUT, "forking", _FORK_TIMEOUT)
                return Forked(ours, int(reply["pid"]), self)
            except (OSError, KeyError, ValueError) as error:
                ours.close()
                self._drop()
                raise Broken(f"the process that forks the others failed: {error!r}") from error
            except Broken:
                ours.close()
                self._drop()
                raise

    def _started(self) -> Spawned:
        if self._ended:
            raise RuntimeError("stopped")
        if self._process is None or not self._process.alive():
            self._drop()
            self._process = spawn(self._command())
            try:
                if self._ended:
                    raise RuntimeError("stopped")
                self._process.greet(self._start_timeout)
            except BaseException:
                self._drop()
                raise
        return self._process

    def kill(self, pid: int) -> None:
        """End one worker. Should the zygote be gone, its workers are too: they die with it."""
        with self._lock:
            if self._process is None:
                return
            try:
                self._process.channel.settimeout(_FORK_TIMEOUT)
                self._process.channel.sendall(b"K" + struct.pack(">I", pid))
                self._process._read(time.monotonic() + _FORK_TIMEOUT, "killing", _FORK_TIMEOUT)
            except (OSError, Broken):
                self._drop()

    def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def interrupt(self) -> None:
        """Stop a start that is under way; a zygote at work is left to end its workers."""
        self._ended = True
        process = self._process
        if process is not None and self._lock.locked():
            process.interrupt()

    def abandon(self) -> None:
        if self._process is not None:
            self._process.abandon()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            self._drop()
