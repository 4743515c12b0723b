"""Which task comes next, by how often it has been solved so far."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from k2core.types import Task

KEPT = 0.7
"""Weight of what was known of a task before its last result."""
LEAST = 0.05
"""What a task that is always or never solved still weighs, so that it is tried again at times."""


class Curriculum:
    """Draws tasks with a probability that is highest where half of the tries succeed: a group of tries teaches most there.

    With a pass rate p the weight is 4 p (1 - p), the variance of a try as a share of the highest, and at least `LEAST`; a task that
    has not been tried counts as p = 1/2. The draws are a function of the seed, their number and the results told, and `state` is
    all it takes to go on.
    """

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self._tasks, self._seed, self._drawn = tasks, seed, 0
        self._place = {task.problem.id: place for place, task in enumerate(tasks)}
        self._rates: dict[int, float] = {}

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
        rate = self._rates.get(place, 0.5)
        return max(LEAST, 4 * rate * (1 - rate))

    def told(self, task: Task, rate: float) -> None:
        """A task's share of successful tries."""
        place = self._place[task.problem.id]
        self._rates[place] = KEPT * self._rates[place] + (1 - KEPT) * rate if place in self._rates else rate

    def state(self) -> dict[str, Any]:
        return {"drawn": self._drawn, "rates": {str(place): rate for place, rate in self._rates.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._drawn = int(state["drawn"])
        self._rates = {int(place): rate for place, rate in state["rates"].items()}
