"""Imports a heavy library when imported."""

import torch  # type: ignore[import-not-found] # a stand-in that its test puts on the path

from k2core import Plan, Plugin, hookimpl

DEVICE = torch.__name__


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
