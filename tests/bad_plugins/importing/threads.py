"""Starts a thread when imported."""

import threading
import time

from k2core import Plan, Plugin, hookimpl

threading.Thread(target=time.sleep, args=(2,), daemon=True).start()


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
