"""Changes the environment when imported."""

import os

from k2core import Plan, Plugin, hookimpl

os.environ["TOKENIZERS_PARALLELISM"] = "false"


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
