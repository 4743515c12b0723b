"""Every sample of an evaluation by number: tasks by name, then problems, then repeats; the order of its finished files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ..records import SampleId, TaskRun

OPEN, DONE, FAILED = 0, 1, 2
"""What a sample can be: still to do, done, or done without a result for want of infrastructure."""


class Layout:
    """Numbers 0 to `total - 1` for the samples of these tasks."""

    def __init__(self, tasks: Sequence[TaskRun]) -> None:
        self.tasks = sorted(tasks, key=lambda task: task.name)
        self._starts = [0]
        for task in self.tasks:
            self._starts.append(self._starts[-1] + task.problems * task.repeats)
        self.total = self._starts[-1]
        self._by_name = {task.name: place for place, task in enumerate(self.tasks)}

    def number(self, task: str, place: int, repeat: int) -> int | None:
        """None for a sample that is none of this evaluation's."""
        which = self._by_name.get(task, -1)
        if which < 0 or not (0 <= place < self.tasks[which].problems and 0 <= repeat < self.tasks[which].repeats):
            return None
        return self._starts[which] + place * self.tasks[which].repeats + repeat

    def id(self, number: int) -> SampleId:
        which = bisect_right(self._starts, number) - 1
        task = self.tasks[which]
        return SampleId(task.name, *divmod(number - self._starts[which], task.repeats))
