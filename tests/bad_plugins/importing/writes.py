"""Writes a file when imported."""

from pathlib import Path

from k2core import Plan, Plugin, hookimpl

Path("cache.json").write_text("{}")


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
