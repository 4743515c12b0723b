"""Checks of how a plugin starts, works, stops and what it leaves behind."""

from __future__ import annotations

import argparse
import contextlib
import io
from typing import TYPE_CHECKING, Any

from ..errors import explain
from ..plugin import Plugin
from ..types import TrainReport
from .leaks import holdings, left_behind
from .loop import GRACE, STALL
from .report import Faults, Skipped, check, where

if TYPE_CHECKING:
    from .subject import Subject

RUNNING = ("planner", "sampler", "verifier", "decoder", "hook")
"""Roles whose plugins the kit can put to use without anything from the author."""
TRAINING = (*RUNNING, "trainer")


def needs_tasks(subject: Subject) -> None:
    """Raise `Skipped` for a trainer without tasks."""
    if subject.role == "trainer" and not subject.tasks:
        raise Skipped("no tasks were given: pass tasks=[Task(…), …]")


@check()
def starts_and_stops(subject: Subject) -> Faults:
    """`k2_stop` works without a start, twice in a row, and the plugin starts again after it."""
    faults: list[str] = []

    async def main() -> None:
        plugin = subject.make()
        for step in ("k2_stop", "k2_start", "k2_stop", "k2_stop", "k2_start", "k2_stop"):
            try:
                await _step(plugin, step)
            except Exception as error:
                again = "; it must work before any start, and twice" if step == "k2_stop" else "; it must work again after a stop"
                faults.append(f"{step} raised {explain(error)}{where(error)}{again}")
                return

    before = holdings()
    subject.play(main).value()
    yield from faults
    if left := left_behind(before, files=False):
        yield f"after k2_stop there still are {', '.join(left)}"


async def _step(plugin: Plugin, name: str) -> None:
    method = getattr(plugin, name, None)
    if method is not None:
        await method()


@check("trainer", gate=True)
def works_as_trainer(subject: Subject) -> Faults:
    """It trains on the tasks given and returns a `TrainReport`."""
    needs_tasks(subject)

    async def main() -> Any:
        async with subject.scene() as scene:
            return await scene.call("k2_train", session=scene.runtime, tasks=list(subject.tasks))

    report = subject.play(main).value()
    if not isinstance(report, TrainReport):
        yield f"k2_train must return a TrainReport, not {report!r:.80}"


@check(*TRAINING, gate=True)
def leaves_the_loop_free(subject: Subject) -> Faults:
    """While it works, other tasks get their turn; tried twice, so that a busy machine does not count."""
    needs_tasks(subject)
    stalls: list[str] = []
    for _ in range(2):
        played = subject.play(lambda: _used(subject))
        stalls = played.stalls
        if not stalls:
            return
    yield f"it holds up the event loop for more than {STALL} s {'; '.join(stalls)}; use asyncio.sleep, or asyncio.to_thread"


@check(*TRAINING)
def leaves_nothing_behind(subject: Subject) -> Faults:
    """Once its runtime has stopped, there is no task, thread, child process or descriptor more than before."""
    needs_tasks(subject)
    before, after_first = holdings(), None
    tasks: dict[str, None] = {}
    for _ in range(3):
        played = subject.play(lambda: _used(subject), GRACE)
        played.value()
        tasks |= dict.fromkeys([*played.tasks, *played.complaints])
        # a first use may open something for good, such as a library's data file; each further use may not
        after_first = after_first or holdings()
    if tasks:
        yield f"it leaves tasks in the event loop: {'; '.join(tasks)}; end them in k2_stop, and await those you cancel"
    if left := left_behind(before, files=False) or left_behind(after_first or before):
        yield f"it leaves {', '.join(left)}; close and join in k2_stop, and in `finally` what belongs to one call"


async def _used(subject: Subject) -> None:
    async with subject.scene() as scene:
        await scene.act(subject.problems[0])
        await scene.act(subject.problems[1], seed=2)


@check("command")
def works_as_command(subject: Subject) -> Faults:
    """It adds at least one command, with help and with `set_defaults(run=function)`, and prints nothing doing so."""
    parser = argparse.ArgumentParser(prog="k2")
    added = parser.add_subparsers()
    plugin: Any = subject.make()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        plugin.k2_commands(app=added)
    if said.getvalue():
        yield f"k2_commands prints {said.getvalue()!r:.100}"
    if not added.choices:
        yield "k2_commands adds no command; call app.add_parser(name, help=…)"
    for name, command in added.choices.items():
        if not _runs(command):
            yield f"the command {name!r} runs nothing; call set_defaults(run=function) with function(args) -> exit status"


def _runs(command: argparse.ArgumentParser) -> bool:
    """Whether it, or each of its sub-commands, has a function to run."""
    inner = [sub for action in command._actions if isinstance(action.choices, dict) for sub in action.choices.values()]
    return callable(command.get_default("run")) or (bool(inner) and all(map(_runs, inner)))
