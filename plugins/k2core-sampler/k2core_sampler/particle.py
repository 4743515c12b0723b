"""The plugin `particle`: sequential Monte Carlo over the steps of a solution, with a process verifier for the weights."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Plan, Problem

from .search import Search
from .steps import Node, StepConfig


class ParticleConfig(StepConfig):
    """Options of `particle`."""

    n: int = Field(default=8, ge=1)
    """How many particles."""
    resample_temperature: float = Field(default=0.1, gt=0)
    """Weights are the softmax of score / this: the lower, the more the best partial solutions multiply."""
    ess: float = Field(default=1.0, ge=0, le=1)
    """Resample when the effective sample size falls below this share of the particles; 1 does it after every step."""


class Particle(Plugin):
    """A population of solutions: after each step the promising ones multiply and others die out."""

    config: ParticleConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        config, search = self.config, Search(run, problem, plan, self.config)
        population = [node for node in await search.judge(await search.start(config.n)) if node.finish != "length"]
        step = 0
        while any(node.finish is None for node in population) and not search.over:
            population = self._resampled(run, population, step)
            grown = await search.expand(list(Counter(node for node in population if node.finish is None).items()))
            ended = [node for node in population if node.finish is not None]
            population = ended + [node for node in await search.judge(grown) if node.finish != "length"]
            step += 1
        finished = [node for node in population if node.finish is not None]
        return search.outcome(finished or search.finished, population)

    def _resampled(self, run: Run, population: Sequence[Node], step: int) -> list[Node]:
        weights = softmax([node.score for node in population], self.config.resample_temperature)
        if effective_size(weights) >= self.config.ess * len(population):
            return list(population)
        lot = random.Random(run.seed_for("resample", step)).random()
        return [population[place] for place in systematic(weights, self.config.n, lot)]


def softmax(scores: Sequence[float | None], temperature: float) -> list[float]:
    """Weights that add up to 1. A missing score, which is no evidence, counts as the mean of the others."""
    known = [score for score in scores if score is not None]
    mean = sum(known) / len(known) if known else 0.0
    filled = [mean if score is None else score for score in scores]
    top = max(filled)
    raised = [math.exp((score - top) / temperature) for score in filled]
    total = sum(raised)
    return [value / total for value in raised]


def effective_size(weights: Sequence[float]) -> float:
    """Kish's effective sample size of normalised weights: their number when they are equal, 1 when one has all."""
    return 1 / sum(weight * weight for weight in weights)


def systematic(weights: Sequence[float], count: int, lot: float) -> list[int]:
    """Systematic resampling (Kitagawa 1996): `count` indices in order, by one uniform `lot` in 0..1.

    Index i comes `floor(count * w_i)` times or once more, and `count * w_i` times on average: unbiased, of little variance.
    """
    chosen, index, reached = [], 0, weights[0]
    for place in range(count):
        at = (place + lot) / count
        while reached <= at and index < len(weights) - 1:
            index += 1
            reached += weights[index]
        chosen.append(index)
    return chosen
