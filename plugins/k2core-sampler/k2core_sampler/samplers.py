"""The plugins `single` and `best-of-n`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Plan, Problem

from .config import SamplingConfig
from .drawing import Drawing


class BestOfNConfig(SamplingConfig):
    """Options of `best-of-n`."""

    n: int = Field(default=3, ge=1)
    """How many candidates."""
    batch: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """Candidates a decode call: 1 isolates failures and seeds each by itself; "all" shares one prompt evaluation."""
    min_candidates: int = Field(default=1, ge=1)
    """How many must be ready before the soft deadline cancels the rest."""


class Single(Plugin):
    """One candidate."""

    config: SamplingConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        drawing = Drawing(run, problem, plan, self.config)
        await drawing.draw(0)
        return drawing.outcome(1)


class BestOfN(Plugin):
    """N candidates at once; the verifiers choose."""

    config: BestOfNConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        config, drawing = self.config, Drawing(run, problem, plan, self.config)
        await drawing.side_by_side(batch_sizes(config.n, config.batch), config.min_candidates)
        return drawing.outcome(config.n)


def batch_sizes(n: int, batch: int | Literal["all"]) -> list[int]:
    """How many candidates each decode call makes: `n` split into batches, the last one maybe smaller."""
    size = n if batch == "all" else min(batch, n)
    return [min(size, n - start) for start in range(0, n, size)]
