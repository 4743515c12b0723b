"""A server as a child process: started, watched until it is healthy, started again after a crash, ended without a remainder."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from k2core.toolkit.child import die_with_parent

_STDERR = 2


@dataclass(frozen=True)
class Policy:
    """How patient a supervisor is."""

    start_timeout: float = 900.0
    """Seconds until the server must be healthy."""
    poll: float = 1.0
    """Seconds between two looks at its health while it starts."""
    restarts: int = 5
    """Most starts after crashes in a row; a server that was healthy for `steady` seconds begins anew."""
    pause: float = 1.0
    """Seconds before the first of them; doubled each time."""
    most_pause: float = 60.0
    steady: float = 300.0
    drain: float = 30.0
    """Seconds to end by itself, with the requests that it still serves, after a SIGTERM; then it is killed."""


class Supervisor:
    """Keeps one server running. The server gets a process group of its own, and every process of that is ended with it.

    Linux: the server is killed with the supervisor, should that be killed itself. `tell` gets progress, a line each.
    """

    def __init__(
        self,
        command: Sequence[str],
        health: str,
        tell: Callable[[str], None],
        *,
        environment: Mapping[str, str] | None = None,
        policy: Policy | None = None,
        ready: Callable[[], None] | None = None,
    ) -> None:
        self._command, self._health, self._tell = list(command), health, tell
        self._environment = dict(environment or {})
        self._policy = policy or Policy()
        self._ready = ready
        self._stopped = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the server that runs now."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def stop(self) -> None:
        """Ask `run` to end the server and return. May be called as a signal handler of the loop; the second call kills."""
        if self._stopped.is_set() and self.pid is not None:
            self._tell("killing the server")
            _kill(self.pid, signal.SIGKILL)
        self._stopped.set()

    async def run(self) -> int:
        """Until `stop`: 0. Until the server has crashed too often or never got healthy: 1. Nothing is left of it on return."""
        crashes = 0
        try:
            while not self._stopped.is_set():
                began = time.monotonic()
                why = await self._once()
                if self._stopped.is_set():
                    break
                crashes = 1 if time.monotonic() - began > self._policy.steady else crashes + 1
                if crashes > self._policy.restarts:
                    self._tell(f"{why}; giving up after {self.starts} starts")
                    return 1
                pause = min(self._policy.most_pause, self._policy.pause * 2 ** (crashes - 1))
                self._tell(f"{why}; starting it again in {pause:g} s ({crashes} of {self._policy.restarts})")
                await self._wait(pause)
        finally:
            await self._end()
        self._tell("the server has ended")
        return 0

    async def _once(self) -> str:
        """Start the server and watch it to its end, or to our own. Returns what became of it."""
        await self._start()
        process = self._process
        assert process is not None
        ended = asyncio.create_task(process.wait())
        try:
            healthy = await self._healthy(ended)
            if healthy:
                self._tell(f"the server is ready (process {process.pid})")
                if self._ready is not None:
                    self._ready()
                await self._first_of(ended)
        finally:
            await self._end()
            await ended
        if not healthy and ended.result() is not None and not self._stopped.is_set() and self._late:
            return f"the server was not healthy within {self._policy.start_timeout:g} s"
        return f"the server ended with status {process.returncode}"

    async def _start(self) -> None:
        self.starts += 1
        self._late = False
        environment = {**os.environ, **self._environment}
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=_STDERR,  # our own standard output is for the configuration
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, os.getpid()),
        )

    async def _healthy(self, ended: asyncio.Task[int]) -> bool:
        """Wait until the server answers its health check. False when it ends, or we are to end, or it takes too long."""
        began = told = time.monotonic()
        while not ended.done() and not self._stopped.is_set():
            if await asyncio.to_thread(_answers, self._health):
                return True
            now = time.monotonic()
            if now - began > self._policy.start_timeout:
                self._late = True
                return False
            if now - told >= 5:
                told = now
                self._tell(f"the server is starting, {now - began:.0f} s")
            await self._first_of(ended, self._policy.poll)
        return False

    async def _first_of(self, ended: asyncio.Task[int], seconds: float | None = None) -> None:
        """Until the server has ended, we are to stop, or so many seconds have passed."""
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait([ended, stopped], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    async def _end(self) -> None:
        """SIGTERM, time to drain, then SIGKILL to whatever is left of the server's processes."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.returncode is None:
                self._process = process  # a second `stop` kills it
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._policy.drain)
        finally:
            self._process = None
            _kill(process.pid, signal.SIGKILL)  # the group: also what a crashed server has left behind
            await process.wait()
            await _gone(process.pid)


async def _gone(group: int) -> None:
    """Until no process of the group is left; not for long, as an init that does not reap leaves them in the books."""
    for _ in range(25):
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        await asyncio.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _kill(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
