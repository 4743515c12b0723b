"""Checks that a plugin obeys the hard time-out and budgets, and that errors come out of it plainly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..errors import LimitExceeded, PluginError, TransientError, boundary, explain
from ..types import Message, Problem
from .lifecycle import RUNNING
from .loop import bounded
from .report import Faults, check, where
from .stage import TOO_MANY, Script

if TYPE_CHECKING:
    from .subject import Scene, Subject

TIMEOUT = 0.2
ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: RuntimeError("the back end is broken"),
    lambda: ConnectionError("the back end is gone"),
    lambda: TransientError("the back end is busy"),
    lambda: PluginError("the back end refuses", "decoder", "stage"),
)


@check(*RUNNING)
def ends_at_the_timeout(subject: Subject) -> Faults:
    """With a model that never answers, the request ends soon after `limits.timeout`: `LimitExceeded`, or a result without it."""
    faults: list[str] = []
    script = Script(subject.respond, pause=lambda request, index: 3600.0)

    async def main() -> None:
        async with subject.scene(script, limits={"timeout": TIMEOUT}, planner={"use": "fake"}) as scene:
            began = time.monotonic()
            task = await bounded(scene.runtime.solve(subject.problems[0], seed=1), TIMEOUT + subject.patience)
            faults.extend(_over_time(task, time.monotonic() - began))

    _played(subject, main, faults)
    yield from faults


def _over_time(task: asyncio.Task[Any] | None, seconds: float) -> Faults:
    if task is None:
        yield f"the request had a time-out of {TIMEOUT} s and still ran {seconds:.1f} s later; let CancelledError pass at once"
    elif not task.cancelled() and (error := task.exception()) and not isinstance(error, LimitExceeded):
        yield f"at the time-out it raised {explain(error)}{where(error)}, which hides LimitExceeded; let CancelledError pass"


@check("planner", "sampler", "verifier")
def limits_end_it(subject: Subject) -> Faults:
    """When `run.decode` raises `LimitExceeded`, it gives up: it does not ask on and on, and raises that or does without."""
    faults: list[str] = []
    script = Script(subject.respond, error=lambda: LimitExceeded("the budget is spent", "hooks.budget.tokens"))

    async def main() -> None:
        async with subject.scene(script) as scene:
            task = await bounded(scene.act(subject.problems[0]), subject.patience)
            asked = len(script.requests)
            if asked > TOO_MANY or task is None:
                faults.append(f"it asked the model {asked} times although every call raised LimitExceeded; let that error pass")
            elif not task.cancelled() and (error := task.exception()) and _hidden(error):
                faults.append(f"when a limit is reached it raises {explain(error)}{where(error)}; let LimitExceeded pass")

    _played(subject, main, faults)
    yield from faults


def _hidden(error: BaseException) -> bool:
    """Whether the kernel would not see that a limit was reached."""
    try:
        with boundary("sampler", "subject"):
            raise error
    except LimitExceeded:
        return False
    except BaseException:
        return True


@check("planner", "sampler", "verifier", "hook")
def errors_are_plain(subject: Subject) -> Faults:
    """When the model fails, an ordinary exception with a message comes out, or an answer; promptly, and never `SystemExit`."""
    faults: list[str] = []

    async def main() -> None:
        async with subject.scene() as scene:
            for make in ERRORS:
                scene.script.error = make
                await _tried(scene, subject.problems[0], explain(make()), faults)

    _played(subject, main, faults)
    yield from faults


ODD = {
    "a chat as problem": {
        "messages": (Message(role="system", content="Be brief."), Message(role="user", content="What is 2 + 2?"))
    },
    "braces and percent signs": {"prompt": "What is {x} in %s %d {0} {{}} ${y} \\boxed{ if x = 4?"},
    "control characters": {"prompt": "a\x01b\x07c\x1b[31md\u202e\ufeff\r\n\t 2 + 2 = ?"},
    "other scripts": {"prompt": "二加二是多少 ما هو ٢ + ٢؟ 🧮"},
    "a long problem": {"prompt": "1 + " * 25_000 + "1 = ?"},
}


@check("planner", "sampler", "verifier", "hook")
def survives_odd_problems(subject: Subject) -> Faults:
    """A chat, markup, control characters, any script, 100 kB of text: an answer or an ordinary exception with a message."""
    faults: list[str] = []

    async def main() -> None:
        async with subject.scene() as scene:
            for name, fields in ODD.items():
                await _tried(scene, Problem.model_validate(fields), name, faults)

    _played(subject, main, faults)
    yield from faults


async def _tried(scene: Scene, problem: Problem, name: str, faults: list[str]) -> None:
    task = await bounded(scene.act(problem), scene.subject.patience * 2)
    faults.extend(plain(task, name))


def _played(subject: Subject, main: Callable[[], Awaitable[None]], faults: list[str]) -> None:
    error = subject.play(main).error
    if isinstance(error, Exception):
        raise error
    if error is not None:
        faults.append(f"it raises {type(error).__name__}{where(error)}, which ends the event loop; raise an ordinary exception")


def plain(task: asyncio.Task[Any] | None, name: str) -> Faults:
    if task is None:
        yield f"{name}: it does not end"
    elif task.cancelled():
        yield f"{name}: it raises CancelledError though nobody cancelled it; raise an ordinary exception that says why"
    elif (error := task.exception()) is not None:
        origin = error
        while isinstance(origin, PluginError) and origin.__cause__ is not None:
            origin = origin.__cause__
        if not isinstance(origin, Exception):
            yield f"{name}: it raises {type(origin).__name__}{where(origin)}; raise an ordinary exception"
        elif not str(origin).strip():
            yield f"{name}: it raises {type(origin).__name__} without a message{where(origin)}; say what was wrong and what to do"
