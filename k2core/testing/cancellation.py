"""Checks of what a plugin does when it is cancelled at several moments of its work."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import explain
from ..types import DecodeRequest
from .leaks import holdings, left_behind
from .lifecycle import TRAINING, needs_tasks
from .loop import GRACE, Hung, bounded, describe, settled
from .report import Faults, check, where
from .stage import Script

if TYPE_CHECKING:
    from .subject import Scene, Subject

POINTS = 6


@dataclass
class Experience:
    """What was seen while cancelling."""

    late: list[str] = field(default_factory=list)
    swallowed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.late or self.swallowed or self.left or self.broken)


@check(*TRAINING)
def cancellation_is_prompt(subject: Subject) -> Faults:
    """Cancelled at any moment, it ends within `subject.patience` seconds."""
    if late := _experience(subject).late:
        raise Hung("\n".join(late))
    yield from ()


@check(*TRAINING)
def cancellation_is_not_swallowed(subject: Subject) -> Faults:
    """Cancelled at any moment, `CancelledError` comes out, and no answer or other error in its place."""
    yield from _experience(subject).swallowed


@check(*TRAINING)
def cancellation_leaves_nothing(subject: Subject) -> Faults:
    """Cancelled at any moment, it leaves no task, model call, thread, child process or descriptor behind."""
    yield from _experience(subject).left


@check(*TRAINING)
def works_after_cancellation(subject: Subject) -> Faults:
    """After cancellations, the next call is answered as usual."""
    yield from _experience(subject).broken


def _experience(subject: Subject) -> Experience:
    """Made once for all four checks; what went wrong must go wrong twice, so that a busy machine does not count."""
    needs_tasks(subject)
    if "cancelled" not in subject.memo:
        first = _try(subject)
        subject.memo["cancelled"] = _try(subject) if first else first
    found: Experience = subject.memo["cancelled"]
    return found


def _try(subject: Subject) -> Experience:
    seen = Experience()
    script = Script(subject.respond, pause=_steady)
    seconds = subject.play(lambda: _measure(subject, script)).value()
    before = holdings()
    played = subject.play(lambda: _cancel_often(subject, script, seconds, seen), GRACE)
    played.value()
    if left := [*played.tasks, *left_behind(before)]:
        seen.left.append(f"after cancellations it leaves {', '.join(left)}; release in `finally`, and await what you cancel")
    return seen


def _steady(request: DecodeRequest, index: int) -> float:
    return 0.002


def _never(request: DecodeRequest, index: int) -> float:
    return 3600.0


async def _measure(subject: Subject, script: Script) -> float:
    async with subject.scene(script) as scene:
        began = time.monotonic()
        await scene.act(subject.problems[0])
        return time.monotonic() - began


async def _cancel_often(subject: Subject, script: Script, seconds: float, seen: Experience) -> None:
    async with subject.scene(script) as scene:
        resident = asyncio.all_tasks()
        for point in range(POINTS):
            # the first comes before any work, the others at random moments
            wait = seconds * (point - random.random()) / (POINTS - 1) if point else 0.0
            await _cancel_once(scene, wait, seen)
            await _look_around(scene, resident, seen)
            script.pause = _steady
            if seen.late:
                return
        await _act_again(scene, max(subject.patience, 10 * seconds), seen)


async def _cancel_once(scene: Scene, wait: float, seen: Experience) -> None:
    task = asyncio.ensure_future(scene.act(scene.subject.problems[0]))
    await asyncio.sleep(wait)
    if task.done():
        task.result()
        return
    scene.script.pause = _never  # what goes on nevertheless shall not be done before somebody looks
    task.cancel()
    await asyncio.wait({task}, timeout=scene.subject.patience)
    when = f"cancelled {wait:.3f} s after it was called, it"
    if not task.done():
        seen.late.append(f"{when} had not ended {scene.subject.patience:g} s later, and waits in {describe(task)}")
    elif task.cancelled():
        return
    elif error := task.exception():
        seen.swallowed.append(f"{when} raised {explain(error)}{where(error)}; let CancelledError pass")
    else:
        seen.swallowed.append(f"{when} returned an answer; let CancelledError pass, do not catch it or BaseException")


async def _look_around(scene: Scene, resident: set[asyncio.Task[None]], seen: Experience) -> None:
    if not seen.left:
        await settled(lambda: not scene.script.open and not _new_tasks(resident), GRACE)
    if new := _new_tasks(resident):
        seen.left.append(f"after a cancellation these tasks go on: {'; '.join(map(describe, new))}; use asyncio.TaskGroup")
    if scene.script.open:
        seen.left.append(f"after a cancellation {scene.script.open} model call(s) go on; cancel them and await their end")


def _new_tasks(resident: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    return {task for task in asyncio.all_tasks() - resident if task is not asyncio.current_task()}


async def _act_again(scene: Scene, seconds: float, seen: Experience) -> None:
    task = await bounded(scene.act(scene.subject.problems[1], seed=2), seconds)
    if task is None:
        seen.broken.append("after cancellations the next call does not end; is a lock or a slot still held? Release in `finally`")
    elif not task.cancelled() and (error := task.exception()):
        seen.broken.append(f"after cancellations the next call raises {explain(error)}{where(error)}")
