"""Which tasks come next."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from k2core.types import Task


class Prompts:
    """The tasks in an order drawn anew for each pass over them. `state` is all it takes to go on."""

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self._tasks, self._seed, self._drawn = tasks, seed, 0
        self._order: tuple[int, list[int]] = (-1, [])

    def draw(self, count: int) -> list[Task]:
        """The next so many; a pass may end among them."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Task:
        epoch, place = divmod(self._drawn, len(self._tasks))
        if self._order[0] != epoch:
            order = list(range(len(self._tasks)))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)
            self._order = epoch, order
        self._drawn += 1
        return self._tasks[self._order[1][place]]

    def told(self, task: Task, rate: float) -> None:
        """A task's mean score; this order does not depend on it."""

    def state(self) -> dict[str, Any]:
        return {"drawn": self._drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._drawn = int(state["drawn"])
