"""Takes its time when imported."""

import time

from k2core import Plan, Plugin, hookimpl

time.sleep(0.3)


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
