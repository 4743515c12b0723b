"""Which task comes next, by how often it has been solved so far."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from k2core.types import Task

KEPT = 0.7
"""Weight of what was known of a task before its last result."""
KIND_KEPT = 0.8
"""The same of a kind of tasks, before the last result of one of them."""
LEAST = 0.05
"""What a task that is always or never solved still weighs, so that it is tried again at times."""
KINDS = ("family", "level", "data_source")
"""Entries of a problem's `meta` that say, with its domain, which kind it is of."""


class Curriculum:
    """Draws tasks with a probability that is highest where half of the tries succeed: a group of tries teaches most there.

    With a pass rate p the weight is 4 p (1 - p), the variance of a try as a share of the highest, and at least `LEAST`. A task that
    has not been tried counts as those of its kind have fared, and at first as p = 1/2: so kinds that teach nothing are found out in
    a few steps where there are more tasks than will ever be tried. The draws are a function of the seed, their number and the
    results told, and `state` is all it takes to go on.
    """

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self._tasks, self._seed, self._drawn = tasks, seed, 0
        self._place = {task.problem.id: place for place, task in enumerate(tasks)}
        self._rates: dict[int, float] = {}
        self._kinds = [kind(task) for task in tasks]
        self._fared: dict[str, float] = {}

    def draw(self, count: int) -> list[Task]:
        """The next so many, all different as long as there are enough."""
        chance = random.Random(f"{self._seed}/{self._drawn}")
        self._drawn += 1
        found: list[int] = []
        while len(found) < count:
            open_ = [place for place in range(len(self._tasks)) if place not in found] or list(range(len(self._tasks)))
            weights = [(chance.random() ** (1 / self.weight(place)), place) for place in open_]
            found += [place for _, place in sorted(weights, reverse=True)[: count - len(found)]]
        return [self._tasks[place] for place in found]

    def weight(self, place: int) -> float:
        """Of a task by its place, 0..1."""
        rate = self._rates.get(place, self._fared.get(self._kinds[place], 0.5))
        return max(LEAST, 4 * rate * (1 - rate))

    def told(self, task: Task, rate: float) -> None:
        """A task's share of successful tries."""
        place = self._place[task.problem.id]
        self._rates[place] = KEPT * self._rates[place] + (1 - KEPT) * rate if place in self._rates else rate
        fared = self._fared.get(self._kinds[place], 0.5)
        self._fared[self._kinds[place]] = KIND_KEPT * fared + (1 - KIND_KEPT) * rate

    def state(self) -> dict[str, Any]:
        rates = {str(place): rate for place, rate in self._rates.items()}
        return {"drawn": self._drawn, "rates": rates, "kinds": dict(self._fared)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._drawn = int(state["drawn"])
        self._rates = {int(place): rate for place, rate in state["rates"].items()}
        self._fared = dict(state.get("kinds", {}))


def kind(task: Task) -> str:
    """What a task has in common with others: `math/addition/2`."""
    meta = task.problem.meta
    return "/".join([str(task.problem.domain), *(str(meta[name]) for name in KINDS if name in meta)])
