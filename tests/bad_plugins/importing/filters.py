"""Silences all warnings when imported."""

import warnings

from k2core import Plan, Plugin, hookimpl

warnings.simplefilter("ignore")


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
