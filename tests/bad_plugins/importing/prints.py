"""Prints when imported."""

from k2core import Plan, Plugin, hookimpl

print("Thank you for using this planner!")


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
