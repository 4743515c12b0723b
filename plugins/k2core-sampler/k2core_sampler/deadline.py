"""Work that ends at the soft deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from k2core.ports import Run

T = TypeVar("T")


async def before_hurry(run: Run, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    """What `work` comes to, or None when the soft deadline passes first: then it is cancelled, or not begun."""
    if run.hurry:
        return None
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work())
            watcher = group.create_task(_cancel_at_hurry(run, task))
            await asyncio.wait([task])
            watcher.cancel()
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    return None if task.cancelled() else task.result()


async def _cancel_at_hurry(run: Run, task: asyncio.Task[Any]) -> None:
    await run.wait_hurry()
    task.cancel()
