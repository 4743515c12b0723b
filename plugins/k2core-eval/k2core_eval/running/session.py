"""Running evaluations from the command line: signals, messages, exit statuses."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..scoring.client import DiskError
from .ablation import arms
from .evaluate import Ended, evaluate, foresee
from .settings import Settings

T = TypeVar("T")

INTERRUPTED = 130


def run(settings: Settings, *, ablation: bool, only: Collection[str] = ()) -> int:
    """Run one evaluation, or an ablation's arms, all or those named, and tell how it ended."""
    every = _every(settings, ablation, only)
    return guarded(lambda: _all(every, settings.out))


def dry_run(settings: Settings, *, ablation: bool, only: Collection[str] = ()) -> int:
    """Tell what it would take. A probe's samples are real ones and stay in the folder."""
    every = _every(settings, ablation, only)
    return guarded(lambda: _foreseen(every))


def _every(settings: Settings, ablation: bool, only: Collection[str]) -> list[Settings]:
    return list(arms(settings, only=only)) if ablation or only else [settings]


def guarded(work: Callable[[], int]) -> int:
    """The exit status, also of what was stopped or had no more room."""
    try:
        return work()
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        say("stopped; the same command goes on from here")
        return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else 128 + signal.SIGTERM
    except (DiskError, OSError) as error:
        say(f"error: {error}; what was done is kept, and the same command goes on from here")
        return 1


def _all(every: Sequence[Settings], out: Path) -> int:
    statuses = []
    for settings in every:
        if settings.label and len(every) > 1:
            say(f"{settings.label}: {settings.out}")
        statuses.append(_told(asyncio.run(_watched(evaluate(settings)))))
    report([settings.out for settings in every], out)
    return max(statuses)


def report(folders: Sequence[Path], out: Path) -> None:
    """Only now, when no pipeline runs any more: reports are made of references, too."""
    from ..reporting import write_reports

    for folder in {out, *folders}:
        write_reports(folders if folder == out else [folder], folder)
    say(f"report: {out / 'report.html'}")


def _told(ended: Ended) -> int:
    print(ended.text, end="", flush=True)
    if ended.trouble:
        say(f"{ended.trouble}; the same command goes on from here")
    if ended.failed:
        say(f"{ended.failed} samples failed for want of infrastructure; the same command tries them again")
    return 0 if ended.complete and not ended.failed else 1


def _foreseen(every: Sequence[Settings]) -> int:
    for settings in every:
        if settings.probe:
            say(f"probe: {settings.probe} samples are made now, and kept")
            asyncio.run(_watched(evaluate(settings)))
        for forecast in asyncio.run(_watched(foresee(replace(settings, probe=0)))):
            print(f"{settings.label}: {forecast.text()}" if settings.label else forecast.text())
    return 0


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    """A termination is a cancellation."""
    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError, RuntimeError):  # where the system or the thread has no signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def say(text: str) -> None:
    print(f"k2: {text}", file=sys.stderr, flush=True)
