"""An event loop under observation, in a thread of its own: whatever a plugin does there, the caller gets an answer."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
BEAT = 0.02
STALL = 0.5
"""Seconds for which a plugin may hold up the event loop."""
GRACE = 0.5
"""Seconds in which tasks may end that were cancelled."""
_ABANDONED: list[object] = []
"""Loops and tasks that would not end; kept, lest their collection disturbs the tests that follow."""


class Hung(AssertionError):
    """The plugin neither answered nor let itself be cancelled; what runs after it in this process is in doubt."""


@dataclass
class Played(Generic[T]):
    """What happened in the loop."""

    result: list[T] = field(default_factory=list)
    """The one result, if there was one."""
    error: BaseException | None = None
    tasks: list[str] = field(default_factory=list)
    """Where the tasks stand that were left behind."""
    complaints: list[str] = field(default_factory=list)
    """What the loop's exception handler was told, such as errors that nobody asked for."""
    stalls: list[str] = field(default_factory=list)
    """Where the loop was held up for longer than `STALL`."""

    def value(self) -> T:
        """The result, or raise what was raised instead."""
        if self.error is not None:
            raise self.error
        return self.result[0]


class _Thread(Generic[T]):
    def __init__(self, main: Callable[[], Coroutine[Any, Any, T]], grace: float) -> None:
        self.main, self.grace, self.played = main, grace, Played[T]()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.played.complaints.append(_complaint(context)))
        self.beat = time.monotonic()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, name="k2core-testing", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._pulse()
        try:
            self.played.result.append(self.loop.run_until_complete(self.main()))
        except BaseException as error:  # a plugin may raise anything, SystemExit too, and that is a finding
            self.played.error = error
        try:
            self._wind_up()
        except BaseException as error:
            self.played.complaints.append(f"ending the loop raised {error!r}")
        finally:
            asyncio.set_event_loop(None)
            self.ended.set()

    def _pulse(self) -> None:
        self.beat = time.monotonic()
        self.loop.call_later(BEAT, self._pulse)

    def _wind_up(self) -> None:
        self.loop.run_until_complete(settled(lambda: not _others(), self.grace))
        left = asyncio.all_tasks(self.loop)
        self.played.tasks += [describe(task) for task in left]
        for task in left:
            task.cancel()
        self.loop.run_until_complete(settled(lambda: not _others(), GRACE))
        self.loop.run_until_complete(asyncio.wait_for(self.loop.shutdown_asyncgens(), GRACE))
        self.loop.run_until_complete(_shutdown_executor(self.loop))
        if stuck := asyncio.all_tasks(self.loop):
            _ABANDONED.extend([self.loop, *stuck])
            self.played.tasks.append(f"{len(stuck)} of them cannot even be cancelled")
        else:
            self.loop.close()


def play(main: Callable[[], Coroutine[Any, Any, T]], limit: float, grace: float = 0.0) -> Played[T]:
    """Run `main` in an observed loop; tasks that it leaves have `grace` seconds to end. Raises `Hung` after `limit` seconds."""
    thread = _Thread(main, grace)
    thread.thread.start()
    end = time.monotonic() + limit
    last = time.monotonic()
    while not thread.ended.wait(BEAT):
        now = time.monotonic()
        on_time = now - last < STALL / 2  # else it is the machine that is slow, not the plugin
        last = now
        if on_time and now - thread.beat > STALL and len(thread.played.stalls) < 3 and (where := position(thread.thread)):
            thread.played.stalls.append(where)
        if now > end:
            _ABANDONED.append(thread)
            raise Hung(f"it did not end within {limit:.0f} s; the event loop is {_standing(thread)}")
    thread.thread.join()
    return thread.played


def _standing(thread: _Thread[Any]) -> str:
    held = time.monotonic() - thread.beat > STALL
    if held:
        return f"held up {position(thread.thread) or 'in asyncio'}; blocking work belongs in a thread (asyncio.to_thread)"
    return f"free, and these tasks wait: {'; '.join(describe(task) for task in asyncio.all_tasks(thread.loop)) or 'none'}"


def position(thread: threading.Thread) -> str:
    """The innermost frame outside asyncio's own event loop at which a thread stands, or nothing when that is idle."""
    frame = sys._current_frames().get(thread.ident or 0)
    stack = traceback.extract_stack(frame) if frame else []
    if not stack or stack[-1].filename.endswith("selectors.py"):
        return ""
    own = [entry for entry in stack if not entry.filename.endswith(("threading.py", "events.py", "base_events.py", "loop.py"))]
    return f"at {own[-1].filename}:{own[-1].lineno} ({own[-1].line})" if own else ""


def describe(task: asyncio.Task[Any]) -> str:
    """A task's coroutine, and the line at which it waits."""
    stack = task.get_stack(limit=1)
    at = f" at {stack[-1].f_code.co_filename}:{stack[-1].f_lineno}" if stack else ""
    return f"{getattr(task.get_coro(), '__qualname__', task.get_name())}{at}"


async def settled(done: Callable[[], bool], seconds: float) -> bool:
    """Wait until `done()`, at most some seconds; whether it came true."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.005)
    return True


async def bounded(work: Awaitable[T], seconds: float) -> asyncio.Task[T] | None:
    """The finished task of `work`, or None when it took longer; then it has been cancelled, but may go on."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=seconds)
    if task.done():
        return task
    task.cancel()
    return None


async def _shutdown_executor(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.wait({asyncio.ensure_future(loop.shutdown_default_executor())}, timeout=4 * GRACE)


def _others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def _complaint(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message', '')}" + (f": {error!r}" if error else "")
