"""Takes over a signal when imported."""

import signal

from k2core import Plan, Plugin, hookimpl

signal.signal(signal.SIGUSR1, signal.SIG_IGN)


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
