"""Planners, each wrong in one way."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from k2core import DecodeRequest, LimitExceeded, Message, Plan, Plugin, PluginConfig, Problem, Run, hookimpl

KEPT: list[subprocess.Popen[bytes]] = []
"""The processes that `LeaksProcess` leaks, for the test to end."""


async def asked(run: Run, problem: Problem) -> Plan:
    """What a good planner does."""
    request = DecodeRequest(messages=(Message(role="user", content=problem.text),), role="plan", max_tokens=32)
    return Plan(prompt=(await run.decode(request))[0].text)


class NoCoroutine(Plugin):
    @hookimpl
    def k2_plan(self, problem: Problem) -> Plan:
        return Plan(prompt="Add.")


class WrongArgument(Plugin):
    @hookimpl
    async def k2_plan(self, question: Problem) -> Plan:
        return Plan(prompt="Add.")


class NotMarked(Plugin):
    async def k2_plan(self, problem: Problem) -> Plan:
        return Plan(prompt="Add.")


class MisspeltHook(Plugin):
    @hookimpl
    async def k2_plan(self, problem: Problem) -> Plan:
        return Plan(prompt="Add.")

    @hookimpl
    async def k2_shutdown(self) -> None:
        """There is no such hook, so nobody calls it."""


class OtherRole(Plugin):
    @hookimpl
    async def k2_sample(self, run: Run) -> list[object]:
        return []


class NoPlugin:
    pass


class ReturnsText(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        return (await asked(run, problem)).prompt  # type: ignore[return-value] # the fault


class Silent(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt=" ")


class WrongRole(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        request = DecodeRequest(messages=(Message(role="user", content=problem.text),))
        return Plan(prompt=(await run.decode(request))[0].text)


class LeaksTask(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        self.ticker = asyncio.create_task(asyncio.sleep(60))
        return await asked(run, problem)


class LeaksCall(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        return await asyncio.shield(asked(run, problem))


class LeaksThread(Plugin):
    @hookimpl
    async def k2_start(self) -> None:
        threading.Thread(target=time.sleep, args=(3,), daemon=True, name="forgotten").start()

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        return await asked(run, problem)


class LeaksProcess(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        KEPT.append(subprocess.Popen(["sleep", "30"]))  # noqa: ASYNC220 # starting takes no time; not ending it is the fault
        return await asked(run, problem)


class LeaksDescriptor(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        os.open(os.devnull, os.O_RDONLY)
        return await asked(run, problem)


class BlocksTheLoop(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        time.sleep(0.6)  # noqa: ASYNC251 # the fault
        return await asked(run, problem)


class Exits(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        try:
            return await asked(run, problem)
        except LimitExceeded:
            raise
        except Exception:
            sys.exit("no model, no plan")


class SaysNothing(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        try:
            return await asked(run, problem)
        except LimitExceeded:
            raise
        except Exception:
            raise RuntimeError from None


class MixesRuns(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        self.problem = problem
        await asyncio.sleep(0.001)
        return await asked(run, self.problem)


class RemembersOnTheClass(Plugin):
    seen: list[str] = []  # noqa: RUF012 # the fault

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        self.seen.append(problem.id)
        return await asked(run, problem)


class CountsItsCalls(Plugin):
    calls = 0

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        self.calls += 1
        plan = await asked(run, problem)
        return Plan(prompt=f"{plan.prompt} This is plan {self.calls}.")


class StuckAfterCancellation(Plugin):
    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config)
        self.free = asyncio.Semaphore(2)

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        await self.free.acquire()
        plan = await asked(run, problem)
        self.free.release()
        return plan


class HidesTheTimeout(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        try:
            return await asked(run, problem)
        except asyncio.CancelledError:
            raise RuntimeError("the model did not answer") from None


class FormatsTheProblem(Plugin):
    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        try:
            text = ("Plan this: " + problem.text).format()
        except Exception:
            raise ValueError from None
        return await asked(run, Problem(prompt=text))


class StopsOnlyOnce(Plugin):
    @hookimpl
    async def k2_start(self) -> None:
        self.resource = object()

    @hookimpl
    async def k2_stop(self) -> None:
        del self.resource

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        return await asked(run, problem)


class ReadsWhenConstructed(Plugin):
    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config)
        self.own_source = Path(os.path.abspath(os.sep), "proc", "version").read_bytes()

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan:
        return await asked(run, problem)
