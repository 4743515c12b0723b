"""The other side of a `ProcessPool`: what a process in Python does to answer it, to stay within limits and to die with it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

Message: TypeAlias = dict[str, Any]

_PR_SET_PDEATHSIG = 1


class Channel:
    """The socket to the pool. Standard input and output are pointed to the null device, so that nothing else writes to it."""

    def __init__(self) -> None:
        self.socket = socket.socket(fileno=os.dup(0))
        self.socket.setblocking(True)
        silence()

    def send(self, message: Message) -> None:
        """Write one message. Raises `OSError` when nobody reads."""
        body = json.dumps(message).encode()
        self.socket.sendall(struct.pack(">I", len(body)) + body)

    def receive(self) -> Message | None:
        """Read one message; None at the end of the input."""
        head = self._exactly(4)
        body = self._exactly(struct.unpack(">I", head)[0]) if len(head) == 4 else b""
        message: Message | None = json.loads(body) if body else None
        return message

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count and (chunk := self.socket.recv(min(1 << 20, count - len(data)))):
            data += chunk
        return bytes(data)


def silence() -> None:
    """Point standard input, output and error to the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def serve(channel: Channel, answer: Callable[[Message], Message]) -> None:
    """Reply to every message until the input ends or a reply is the last. `answer` must not raise."""
    channel.send({"ready": True})
    with contextlib.suppress(ConnectionError):
        while (message := channel.receive()) is not None:
            reply = answer(message)
            channel.send(reply)
            if reply.get("last"):
                return


def die_with_parent(parent: int | None = None) -> None:
    """Ask for a SIGKILL when the thread that started this process ends (Linux; elsewhere the end of the input must do).

    `parent` is the process id that the parent had, to notice that it is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if parent is not None and os.getppid() != parent:
            os._exit(0)


def limit(which: int, value: int) -> None:
    """Lower a resource limit, soft and hard, as far as the system knows it."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))


def limit_processor_time(seconds: float) -> None:
    """End this process when it has used so many more seconds of processor time, rounded up to whole ones."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def fork_workers(channel: Channel, work: Callable[[Channel], None]) -> None:
    """Be the process that forks the others, until the input ends: `work` runs in each with a channel of its own.

    Import and warm up everything before: the forks share that memory. There must be no second thread.
    """
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    wake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    poller = select.poll()
    poller.register(channel.socket, select.POLLIN)
    poller.register(wake, select.POLLIN)
    channel.send({"ready": True})
    while True:
        ready = {descriptor for descriptor, _ in poller.poll()}
        if wake in ready:
            os.read(wake, 512)
            _reap(children)
        if channel.socket.fileno() in ready and not _obey(channel, children, work, (wake, alarm)):
            break
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _obey(channel: Channel, children: set[int], work: Callable[[Channel], None], pipe: tuple[int, int]) -> bool:
    """One order of the pool: `F` with a socket forks a worker, `K` with a process id ends it. False at the end of the input."""
    order, descriptors, _, _ = socket.recv_fds(channel.socket, 1, 1)
    if order == b"F":
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_worker(parent, channel, descriptors[0], work, pipe)
        os.close(descriptors[0])
        children.add(pid)
        channel.send({"pid": pid})
    elif order == b"K":
        [pid] = struct.unpack(">I", channel._exactly(4))
        if pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            children.discard(pid)
        channel.send({})
    return bool(order)


def _become_worker(
    parent: int, channel: Channel, descriptor: int, work: Callable[[Channel], None], pipe: tuple[int, int]
) -> NoReturn:
    status = 1
    try:
        die_with_parent(parent)
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in pipe:
            os.close(end)
        channel.socket.close()
        channel.socket = socket.socket(fileno=descriptor)
        channel.socket.setblocking(True)
        work(channel)
        status = 0
    finally:
        os._exit(status)


def _reap(children: set[int]) -> None:
    for pid in [*children]:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                children.discard(pid)
