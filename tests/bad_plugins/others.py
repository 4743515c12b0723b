"""Trainers, sources of tasks and commands, each wrong in one way."""

import argparse
import asyncio
import random
from collections.abc import Iterator, Sequence

from k2core import Commands, DecodeRequest, Message, Plugin, Problem, Session, Task, TrainReport, hookimpl


def task(number: int) -> Task:
    return Task(problem=Problem(prompt=f"What is {number} + {number}?"), reference=str(2 * number))


async def tried(session: Session, one: Task) -> None:
    """What a good trainer does for each task."""
    async with session.open(one.problem, seed=0) as run:
        await run.decode(DecodeRequest(messages=(Message(role="user", content=one.problem.text),)))


class ReportsNothing(Plugin):
    @hookimpl
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
        return {"steps": len(tasks)}  # type: ignore[return-value] # the fault


class SavesWhenCancelled(Plugin):
    """And says that all went well."""

    @hookimpl
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
        done = 0
        try:
            for one in tasks:
                await tried(session, one)
                done += 1
        except asyncio.CancelledError:
            pass
        return TrainReport(steps=done)


class IgnoresTheLimit(Plugin):
    @hookimpl
    def k2_tasks(self, seed: int) -> Iterator[Task]:
        return map(task, range(seed, seed + 50))


class IgnoresTheSeed(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        return (task(random.getrandbits(30)) for _ in range(limit))


class YieldsProblems(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        return (task(number).problem for number in range(limit))  # type: ignore[misc] # the fault


class NoTasks(Plugin):
    @hookimpl
    def k2_tasks(self) -> Iterator[Task]:
        return iter(())


class NothingToRun(Plugin):
    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        app.add_parser("idle", help="do nothing")


class NoCommand(Plugin):
    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        """Forgotten."""


class Greets(Plugin):
    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        print("Hello!")
        app.add_parser("greet", help="say hello").set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    return 0
