"""Opens a socket when imported."""

import socket

from k2core import Plan, Plugin, hookimpl

KEPT = socket.socket()


class Planner(Plugin):
    @hookimpl
    async def k2_plan(self) -> Plan:
        return Plan(prompt="Add.")
