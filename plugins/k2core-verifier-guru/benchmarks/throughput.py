"""How many answers a second each verifier of this package grades, one after another in one thread.

python benchmarks/throughput.py [SECONDS]
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from k2core_verifier_guru.gym.items import ItemRef
from k2core_verifier_guru.gym.verifier import ReasoningGym
from k2core_verifier_guru.logic import Logic
from k2core_verifier_guru.simulation import Simulation
from k2core_verifier_guru.tabular import Tabular

from k2core import Candidate

ROWS = [[str(place), f"name{place}", f"job{place}", f"pet{place}", f"drink{place}"] for place in range(1, 6)]
TABLE = json.dumps({"header": ["House", "Name", "Job", "Pet", "Drink"], "rows": ROWS})
DOCUMENT = json.dumps(
    {"output": {"values": [place / 7 for place in range(50)], "names": {f"k{place}": place for place in range(50)}}}
)

CASES: dict[str, tuple[type[Any], str, Callable[[int], str]]] = {
    "logic, a table of 25 cells": (Logic, TABLE, lambda turn: f"<think>{turn}</think><answer>{TABLE}</answer>"),
    "simulation, 100 numbers": (Simulation, DOCUMENT, lambda turn: f"<think>{turn}</think>```json\n{DOCUMENT}\n```"),
    "tabular, a number": (Tabular, "1234.5", lambda turn: rf"<think>{turn}</think>\boxed{{\$1,{turn % 900 + 100}.50}}"),
    "reasoning-gym, chain_sum": (
        ReasoningGym,
        ItemRef("chain_sum", seed=1, index=1).dumps(""),
        lambda turn: f"<answer>{turn}</answer>",
    ),
    "reasoning-gym, countdown": (
        ReasoningGym,
        ItemRef("countdown", seed=1, index=1).dumps(""),
        lambda turn: f"<answer>{turn}+1</answer>",
    ),
}


async def rate(plugin: Any, reference: str, text: Callable[[int], str], seconds: float) -> float:
    turn, begun = 0, 0.0
    while not begun or time.perf_counter() - begun < seconds:
        await plugin.k2_verify(candidates=[Candidate(id="a", text=text(turn))], reference=reference)
        turn, begun = (turn + 1, begun) if begun else (0, time.perf_counter())
    return turn / (time.perf_counter() - begun)


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    for name, (kind, reference, text) in CASES.items():
        plugin = kind()
        print(f"{name:28} {await rate(plugin, reference, text, seconds):9,.0f} a second", flush=True)
        if isinstance(plugin, ReasoningGym):
            await plugin.k2_stop()


if __name__ == "__main__":
    asyncio.run(main())
