"""Starts a process when imported."""

import subprocess

from k2core import Plan, Plugin, hookimpl

KEPT = subprocess.Popen(["sleep", "2"])


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
