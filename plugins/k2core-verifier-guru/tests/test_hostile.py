"""Texts made to hang, to crash or to be run: every verifier answers each in time, and never with `correct`."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from k2core_verifier_guru.gym.verifier import key as gym_key
from k2core_verifier_guru.logic import Logic
from k2core_verifier_guru.simulation import Simulation, SimulationConfig
from k2core_verifier_guru.stem import key as stem_key
from k2core_verifier_guru.stem import without_model
from k2core_verifier_guru.tabular import Tabular

from k2core import Candidate

PIECES = [
    *("[", "{", "(", "]", '"', "'", '"\\"', '\\"', "\\", "-", ".", "1", "1,", "1 ", " ", "\t", "\n", "```", "```\n", "`"),
    *("<answer>", "</answer>", "<think>", "</think>", "\\boxed{", "\\text{", "\\frac{", "{}", "[]", '{"a":', "[[", "]]", "a,"),
    *("a > ", "1e", "1.", "$", "%", "(1", "9**", "1|", "|", "the answer is ", "Final Decision: Yes ", "\u202e", "\x00", "\ud7ff"),
    *("\u0663", "½", "²", "é", "1/", "1:", "million ", "x = ", "__import__('os').", "{'a': ", "null, ", "-inf, ", "\\u0041"),
    *("~", ", 1", "_", "0x1", "1_", "'a' "),
]
SIZE = 10_000
"""Characters: what takes quadratic time takes seconds at this size."""
TEXTS = [piece * (SIZE // len(piece)) + "x" for piece in PIECES]
TEXTS += [f"<answer>{piece * (SIZE // len(piece))}</answer>" for piece in PIECES]
TEXTS += [f"<answer>{piece * 25}</answer>" for piece in PIECES] + ["[" * 10**6, "1" * 10**6, " " * 10**6 + "x", "." * 10**6]
REFERENCES: dict[str, list[tuple[Any, str]]] = {
    "logic": [
        (Logic(), json.dumps({"header": ["a"], "rows": [["q"]]})),
        (Logic(), "[[77]]"),
        (Logic(), '["qq", "rr"]'),
        (Logic(), "qq"),
    ],
    "simulation": [
        (Simulation(), '"output": 77'),
        (Simulation(SimulationConfig(lenient=True)), '"input": "qq"'),
    ],
    "tabular": [(Tabular(), "77.5"), (Tabular(), "77.5|qq")],
}


@pytest.mark.parametrize("name", REFERENCES)
def test_every_text_is_judged_in_time(name: str) -> None:
    for plugin, reference in REFERENCES[name]:
        for text in TEXTS:
            begun = time.process_time()
            for known in (reference, None):
                [verdict] = asyncio.run(plugin.k2_verify(candidates=[Candidate(id="a", text=text)], reference=known))
                assert verdict.status != "correct", text[:80]
            assert time.process_time() - begun < 1, text[:80]


def test_cheap_checks_and_keys_are_made_in_time() -> None:
    for text in TEXTS:
        begun = time.process_time()
        without_model("qq", text), stem_key(text), gym_key(text)
        assert time.process_time() - begun < 1, text[:80]
