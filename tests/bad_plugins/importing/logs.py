"""Configures logging when imported."""

import logging

from k2core import Plan, Plugin, hookimpl

logging.basicConfig(level="INFO")


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
