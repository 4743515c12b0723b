"""Seeds the global generator when imported."""

import random

from k2core import Plan, Plugin, hookimpl

random.seed(42)


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
