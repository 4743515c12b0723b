"""What a run scores on the problems that were found in training data, and on the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from ..statistics.intervals import mean_interval
from ..store.folder import Folder
from .report import Part, Report


def parts(folder: Folder, report: Report) -> Iterator[Part]:
    """The accuracy of every task on all, the clean and the dirty problems, and on those whose numbers are the same.

    Repeats of a problem are averaged first, so that an interval speaks of problems. Raises `ConfigError` where there is no run.
    Problems that were searched for but not evaluated are in no part.
    """
    manifest = folder.manifest()
    searched = {count.task for count in report.tasks}
    means = _means(folder)
    for task in manifest.tasks:
        if task.name not in searched:
            continue
        dirty, same = report.dirty(task.name), report.dirty(task.name, changed=False)
        scored = means.get(task.name, {})
        held = {"all": set(scored), "clean": set(scored) - dirty, "dirty": set(scored) & dirty, "same": set(scored) & same}
        for name, chosen in held.items():
            rates = np.array([np.mean(scored[place]) for place in sorted(chosen)])
            samples = sum(len(scored[place]) for place in chosen)
            yield Part(
                folder=str(folder.path), label=manifest.label, task=task.name, part=name,
                problems=len(chosen), samples=samples, accuracy=mean_interval(rates),
            )  # fmt: skip


def _means(folder: Folder) -> Mapping[str, Mapping[int, list[float]]]:
    means: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    seen = set()
    for sample in folder.samples():
        if sample.id not in seen:
            seen.add(sample.id)
            means[sample.task][sample.place].append(float(sample.outcome == "correct"))
    return means
