"""Rows for supervised fine-tuning: chats as the pipeline's own sampler and planner make them, with worked solutions as replies."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from k2core_planner_think.prompt import both_messages
from k2core_sampler.prompt import solver_messages

from k2core import Message, Plan
from k2core.config import read_tables

from .families import FAMILIES
from .tasks import Numbered, in_turn, items, problem_of, split_of, wanted


@dataclass(frozen=True, slots=True)
class Shares:
    """Which part of the rows has a plan in its prompt, and which teaches to write the plan."""

    planned: float = 0.15
    planning: float = 0.08

    def __post_init__(self) -> None:
        if min(self.planned, self.planning) < 0 or self.planned + self.planning > 1:
            raise ValueError(f"shares of rows are from 0 to 1 together, not {self.planned:g} and {self.planning:g}")

    def kind(self, draw: Random) -> str:
        """`solve`, `planned` or `planning`."""
        at = draw.random()
        return "planned" if at < self.planned else "planning" if at < self.planned + self.planning else "solve"


def pipeline() -> Mapping[str, Any]:
    """The tables of the embedded pipeline, which is what k2-nano is taught for."""
    return read_tables()


def rows(
    count: int, seed: int, families: str = "all", split: str = "train", shares: Shares | None = None
) -> Iterator[dict[str, Any]]:
    """`count` rows, as many of each family that is named: one that has too few problems begins again, in other words. The same
    arguments, the same rows, in any process."""
    sources = [_again(family, levels, split_of(split), seed) for family, levels in wanted(families)]
    tables, shares = pipeline(), shares or Shares()
    for place, item in enumerate(in_turn(sources)):
        if place == count:
            return
        yield row(item, shares.kind(Random(f"k2-nano rows {seed} {place}")), tables)


def _again(family: str, levels: Sequence[int], split: int, seed: int) -> Iterator[Numbered]:
    """Items without end: all problems of the split, then all in another order and wording, and so on."""
    for time in itertools.count():
        yield from items(family, levels, split, seed + 1000 * time)


def row(item: Numbered, kind: str, tables: Mapping[str, Any]) -> dict[str, Any]:
    """One row: `messages`, and beside them the reference and where it came from."""
    asked, reply = _chat(item, kind, tables)
    return {
        "messages": [{"role": m.role, "content": m.content} for m in (*asked, Message(role="assistant", content=reply))],
        "reference": None if kind == "planning" else item.drawn.reference,
        "kind": kind,
        "family": item.family,
        "level": item.level,
        "id": problem_of(item).id,
    }


def _chat(item: Numbered, kind: str, tables: Mapping[str, Any]) -> tuple[Sequence[Message], str]:
    """The prompt that the pipeline would show, and the reply."""
    sampler, planner, problem = tables["sampler"], tables["planner"], problem_of(item)
    if kind == "planning":
        return both_messages(problem, planner["max_steps"], examples=planner["examples"]), _planned(item)
    topics = FAMILIES[item.family].topics
    plan = Plan(prompt=item.drawn.plan, topics=topics) if kind == "planned" else None
    options = {name: sampler[name] for name in ("system", "instructions", "plan_in") if name in sampler}
    return solver_messages(problem, plan, **options), item.drawn.trace


def _planned(item: Numbered) -> str:
    """The planner's reply in one call."""
    topics = list(FAMILIES[item.family].topics)
    return json.dumps({"topics": topics, "hard": item.level > 1, "plan": item.drawn.plan})


def write(path: Path, found: Iterator[dict[str, Any]]) -> tuple[int, str]:
    """Write rows as JSON lines, whole or not at all; how many, and the file's SHA-256. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    digest, count = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            for one in found:
                line = (json.dumps(one, ensure_ascii=False) + "\n").encode()
                digest.update(line)
                count += file.write(line) > 0
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count, digest.hexdigest()
