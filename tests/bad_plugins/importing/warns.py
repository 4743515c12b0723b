"""Logs to stderr when imported."""

import sys

from k2core import Plan, Plugin, hookimpl

sys.stderr.write("no GPU found\\n")


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
