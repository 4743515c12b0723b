"""Processes that answer questions: as many as asked for, each fed by a thread, killed when they take too long.

Threads, not tasks, so that a pool works from any thread and any number of event loops; one thread for one process, which lives
as long as the pool, so that the process may ask to die with it. Nothing starts before the first question.

What a process speaks on its standard input and output, which are one socket: 4 bytes, big-endian, the length of the JSON that
follows. Its first message is `{"ready": true}`, or `{"error": "…"}` when it cannot work; after that it sends one reply a
message. A reply with `"last": true` says that it ends. `k2core.toolkit.child` is the other side, for processes in Python.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .channels import Broken, Process, TooLate, Zygote, spawn

__all__ = ["Broken", "ProcessPool", "TooLate"]

Message: TypeAlias = dict[str, Any]

_LONG = 2
"""Jobs of this rank and above leave one process of several free."""


@dataclass(slots=True, eq=False)
class _Job:
    message: Message
    timeout: float
    rank: int
    expires: float
    done: Future[Message] = field(default_factory=Future)
    given_up: bool = False


class ProcessPool:
    """At most `size` processes, started with `command` when needed and replaced when killed, dead or at their end.

    `command` is asked for the arguments at each start. `name` is that of the threads and stands in messages. With `forks` the
    command starts a single process that has prepared everything and forks the others on demand (`child.fork_workers`): a
    replacement then takes milliseconds. In a forked copy of this program a pool starts afresh, with processes of its own.
    """

    def __init__(
        self, command: Callable[[], Sequence[str]], *, size: int, name: str, start_timeout: float = 60.0, forks: bool = False
    ) -> None:
        if size < 1:
            raise ValueError(f"a pool needs at least one process, not {size}")
        self._command, self.size, self.name, self.start_timeout, self._forks = command, size, name, start_timeout, forks
        self._reset()

    def _reset(self) -> None:
        self._process_id = os.getpid()
        self._change = threading.Condition()
        self._waiting: list[tuple[int, int, _Job]] = []
        self._arrivals = itertools.count()
        self._slots: list[_Slot] = []
        self._zygote = Zygote(self._command, self.start_timeout) if self._forks else None
        self.closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the live workers."""
        found = [slot.process for slot in self._slots]
        return [process.pid for process in found if process is not None and process.alive()]

    async def ask(
        self,
        message: Message,
        timeout: float,  # noqa: ASYNC109 # it kills, and does not cancel
        *,
        rank: int = 0,
        patience: float = math.inf,
    ) -> Message:
        """The reply of a process to `message`. Cancelling returns at once and kills the process.

        `timeout` is in seconds from when a process starts on it. Jobs are served by `rank`, the lowest first, and in order of
        arrival; those of rank 2 and above leave one process of several free for the others. Raises `Broken` when the process
        was killed for time or ended, its subclass `TooLate` when the job's turn did not come within `patience` seconds, and
        `RuntimeError` when no process can be started or the pool is closed.
        """
        job = self._submit(_Job(message, timeout, rank, time.monotonic() + patience))
        try:
            return await asyncio.wrap_future(job.done)
        finally:
            self._give_up(job)

    def ask_blocking(self, message: Message, timeout: float, *, rank: int = 0, patience: float = math.inf) -> Message:
        """As `ask`, for a thread without event loop."""
        job = self._submit(_Job(message, timeout, rank, time.monotonic() + patience))
        try:
            return job.done.result()
        finally:
            self._give_up(job)

    def warm(self) -> None:
        """Start all processes now, without waiting for them; what goes wrong is told to the first who asks."""
        self._own()
        with self._change:
            if not self.closed:
                for _ in range(len(self._slots), self.size):
                    self._add_slot(eager=True)

    def close(self) -> None:
        """Kill the processes and wait for their threads; jobs under way and waiting end with a `RuntimeError`. May be repeated."""
        if self._process_id != os.getpid():
            self._reset()
        with self._change:
            self.closed = True
            slots, jobs = list(self._slots), [job for _, _, job in self._waiting]
            self._waiting.clear()
            for process in [self._zygote, *(slot.process for slot in slots)]:
                if process is not None:
                    process.interrupt()
            self._change.notify_all()
        for job in jobs:
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(self._closed_error())
        for slot in slots:
            slot.join()
        self._slots.clear()
        if self._zygote is not None:
            self._zygote.end()

    def _own(self) -> None:
        """After a fork the threads and processes stayed with the parent: only let go of their sockets."""
        if self._process_id != os.getpid():
            for process in [self._zygote, *(slot.process for slot in self._slots)]:
                if process is not None:
                    process.abandon()
            self._reset()

    def _submit(self, job: _Job) -> _Job:
        self._own()
        with self._change:
            if self.closed:
                raise self._closed_error()
            heapq.heappush(self._waiting, (job.rank, next(self._arrivals), job))
            free = sum(slot.idle and slot.takes(job) for slot in self._slots)  # idle until they wake, so count them, and the jobs
            if free < len(self._waiting) and len(self._slots) < self.size:
                self._add_slot()
                if not self._slots[-1].takes(job) and self.size > 1:
                    self._add_slot()
            self._change.notify_all()
        return job

    def _add_slot(self, *, eager: bool = False) -> None:
        slot = _Slot(self, reserved=self.size > 1 and not self._slots, eager=eager)
        self._slots.append(slot)
        slot.start()

    def _give_up(self, job: _Job) -> None:
        with self._change:
            job.given_up = True
            for slot in self._slots:
                if slot.job is job and slot.process is not None:
                    slot.process.interrupt()

    def _closed_error(self) -> RuntimeError:
        return RuntimeError(f"the processes of {self.name} were stopped")


class _Slot(threading.Thread):
    """Takes jobs in turn; replaces its process whenever that was killed or broke. A reserved one takes none of rank 2 and above."""

    def __init__(self, pool: ProcessPool, *, reserved: bool, eager: bool) -> None:
        super().__init__(name=pool.name, daemon=True)
        self._pool, self._reserved, self._eager = pool, reserved, eager
        self.process: Process | None = None
        self.job: _Job | None = None
        self.idle = False

    def takes(self, job: _Job) -> bool:
        return job.rank < _LONG or not self._reserved

    def run(self) -> None:
        try:
            if self._eager:
                self._warm()
            while (job := self._next()) is not None:
                if job.done.set_running_or_notify_cancel():
                    if time.monotonic() > job.expires:
                        job.done.set_exception(TooLate("no process was free in time"))
                    else:
                        self._serve(job)
        finally:
            self._end()

    def _warm(self) -> None:
        try:
            self._ready()
        except (Broken, RuntimeError, OSError):
            self._end()

    def _next(self) -> _Job | None:
        pool = self._pool
        with pool._change:
            while not pool.closed:
                if pool._waiting and self.takes(pool._waiting[0][2]):
                    return heapq.heappop(pool._waiting)[2]
                self.idle = True
                pool._change.wait()
                self.idle = False
        return None

    def _serve(self, job: _Job) -> None:
        try:
            reply = self._exchange(self._ready(), job)
        except Exception as error:
            self._end()
            job.done.set_exception(self._pool._closed_error() if self._pool.closed else error)
            return
        if reply.get("last"):
            self._end()
        job.done.set_result(reply)

    def _ready(self) -> Process:
        """The process, started if need be."""
        if self.process is not None and self.process.alive():
            return self.process
        self._end()
        zygote = self._pool._zygote
        process = zygote.fork() if zygote is not None else spawn(self._pool._command())
        with self._pool._change:
            self.process = process
            if self._pool.closed:
                raise self._pool._closed_error()
        process.greet(self._pool.start_timeout)
        return process

    def _exchange(self, process: Process, job: _Job) -> Message:
        with self._pool._change:
            if job.given_up:
                raise Broken("given up")
            self.job = job
        try:
            return process.exchange(job.message, job.timeout)
        except Broken:
            if job.given_up:  # the process has been interrupted, which looks like its end
                raise Broken("given up") from None
            raise
        finally:
            with self._pool._change:
                self.job = None

    def _end(self) -> None:
        with self._pool._change:
            process, self.process = self.process, None
        if process is not None:
            process.end()
