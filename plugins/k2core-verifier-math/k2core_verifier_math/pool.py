"""Worker processes that compare answers, each fed by one thread that lives as long as the pool.

Threads, not tasks, so that a pool works from any thread and any number of event loops; one thread for one process, so that
the process may ask to die with it. Nothing starts before the first job.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import select
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["equal", "different", "undecided", "error"]
Opinion: TypeAlias = tuple[Outcome, str]


_START_TIMEOUT = 60.0
_POLL = 0.05
"""Seconds between looks at whether a job was given up or the pool is closing."""

_BOOT = "import sys; sys.path[:] = sys.argv[3:]; from k2core_verifier_math.worker import main; main()"
"""`-I` hides PYTHONPATH and the working directory; the worker imports from where this process does."""


@dataclass(slots=True)
class _Job:
    message: dict[str, Any]
    done: Future[Opinion] = field(default_factory=Future)
    given_up: bool = False


class _Broken(Exception):
    """The worker is of no further use; the message says why."""


class Pool:
    """At most `workers` processes of at most `memory_mb` megabytes, each killed when a job takes over `timeout` seconds."""

    def __init__(self, *, workers: int, timeout: float, memory_mb: int) -> None:
        self.timeout, self.memory_mb = timeout, memory_mb
        self._size = workers
        self._reset()

    def _reset(self) -> None:
        self._process_id = os.getpid()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._slots: list[_Slot] = []
        self._lock = threading.Lock()
        self.closing = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the live workers."""
        return [slot.process.pid for slot in self._slots if slot.process is not None and slot.process.poll() is None]

    async def compare(self, gold: str, answer: str, *, symmetric: bool = False) -> Opinion:
        """Ask a worker. Cancelling returns at once and ends the comparison. Raises `RuntimeError` after `close`."""
        job = _Job({"gold": gold, "answer": answer, "symmetric": symmetric, "timeout": self.timeout})
        self._submit(job)
        try:
            return await asyncio.wrap_future(job.done)
        finally:
            job.given_up = True

    def _submit(self, job: _Job) -> None:
        if self._process_id != os.getpid():  # forked: the threads and workers stayed with the parent
            self._reset()
        with self._lock:
            if self.closing:
                raise RuntimeError("the comparison workers were stopped")
            self._jobs.put(job)
            if len(self._slots) < self._size and not any(slot.idle for slot in self._slots):
                self._slots.append(_Slot(self, self._jobs))
                self._slots[-1].start()

    def close(self) -> None:
        """Kill the workers and wait for their threads; jobs under way end with a `RuntimeError`. May be called twice."""
        with self._lock:
            self.closing = True
            slots, self._slots = self._slots, []
        for _ in slots:
            self._jobs.put(None)
        for slot in slots:
            slot.join()
        while not self._jobs.empty():
            if (job := self._jobs.get()) is not None:
                _fail(job, "the comparison workers were stopped")


def _fail(job: _Job, message: str) -> None:
    if job.done.set_running_or_notify_cancel():
        job.done.set_exception(RuntimeError(message))


class _Slot(threading.Thread):
    """Takes jobs in turn; replaces its process whenever that was killed or broke."""

    def __init__(self, pool: Pool, jobs: queue.SimpleQueue[_Job | None]) -> None:
        super().__init__(name="k2core-verifier-math", daemon=True)
        self._pool, self._jobs = pool, jobs
        self.process: subprocess.Popen[bytes] | None = None
        self.idle = False

    def run(self) -> None:
        try:
            self.idle = True
            while (job := self._jobs.get()) is not None:
                self.idle = False
                if job.done.set_running_or_notify_cancel():
                    self._answer(job)
                self.idle = True
        finally:
            self._kill()

    def _answer(self, job: _Job) -> None:
        try:
            if self.process is None or self.process.poll() is not None:
                self._kill()
                self._start(job)
            reply = self._exchange(job)
            if reply.get("last"):
                self._kill()
            opinion = reply["outcome"], reply["reason"]
        except _Broken as error:
            self._kill()
            if self._pool.closing:
                job.done.set_exception(RuntimeError("the comparison workers were stopped"))
                return
            opinion = "undecided", str(error)
        except Exception as error:
            self._kill()
            opinion = "error", f"the comparison worker could not be used: {error}"
        job.done.set_result(opinion)

    def _start(self, job: _Job) -> None:
        if not sys.executable:
            raise RuntimeError("sys.executable is not set, so there is no interpreter to start it with")
        command = [sys.executable, "-I", "-B", "-c", _BOOT, str(self._pool.memory_mb), str(os.getpid()), *filter(None, sys.path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        hello = self._read(job, _START_TIMEOUT, "starting the worker")
        if "error" in hello:
            raise RuntimeError(str(hello["error"]))

    def _exchange(self, job: _Job) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdin is not None
        body = json.dumps(job.message).encode()
        try:
            self.process.stdin.write(struct.pack(">I", len(body)) + body)
        except BrokenPipeError as error:
            raise _Broken("the worker ended") from error
        return self._read(job, self._pool.timeout, "comparing")

    def _read(self, job: _Job, seconds: float, what: str) -> dict[str, Any]:
        """One message, unless time runs out, the job is given up or the pool closes."""
        assert self.process is not None
        assert self.process.stdout is not None
        descriptor, deadline, data = self.process.stdout.fileno(), time.monotonic() + seconds, b""
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while len(data) < 4 or len(data) < 4 + struct.unpack(">I", data[:4])[0]:
            if job.given_up or self._pool.closing:
                raise _Broken("given up")
            left = deadline - time.monotonic()
            if left <= 0:
                raise _Broken(f"{what} took more than {seconds:g} s")
            if poller.poll(1000 * min(left, _POLL)):
                chunk = os.read(descriptor, 65536)
                if not chunk:
                    raise _Broken(f"{what} ended the worker (exit status {self.process.wait()})")
                data += chunk
        message: dict[str, Any] = json.loads(data[4:])
        return message

    def _kill(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
