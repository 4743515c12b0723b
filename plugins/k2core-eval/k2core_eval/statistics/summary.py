"""`summarise`: what the samples of an evaluation amount to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..records import Manifest, Outcome, Referenced, Sample, TaskRun
from .drawing import pass_at
from .intervals import Array, mean_interval, weighted_interval
from .records import AtK, Average, Choosing, Estimate, Group, Lengths, Purse, Sensitivity, Spending, Spread, Summary, TaskSummary
from .table import OPEN, OUTCOMES, TaskTable, tables

__all__ = ["Summary", "averaged", "curve", "pooled", "run_deviation", "summarise"]

_MOST_GROUPS = 30
"""Levels are shown when there are at most this many."""


def summarise(manifest: Manifest, samples: Iterable[Sample], *, problems: Iterable[Referenced] = ()) -> Summary:
    """The figures of an evaluation, finished or not. The order of samples does not matter; they are read once and not kept.

    `problems` serve the breakdown by level alone (`meta.level` or `meta.difficulty`).
    """
    found = tables(manifest, samples)
    tasks = tuple(_task(run, found[run.name]) for run in manifest.tasks)
    outcomes = _total([t.outcomes for t in tasks])
    count, right = sum(t.samples for t in tasks), outcomes.get("correct", 0)
    missing = sum(t.missing for t in tasks)
    dimensions, overall = _dimensions(manifest, found)
    return Summary(
        label=manifest.label,
        preset=manifest.preset,
        complete=not missing,
        samples=count,
        missing=missing,
        duplicates=sum(table.duplicates for table in found.values()),
        tasks=tasks,
        macro=_average("macro", found, {name: 1.0 for name in found}),
        micro=_average("micro", found, {run.name: float(run.problems) for run in manifest.tasks}),
        dimensions=dimensions,
        dimension_macro=overall,
        domains=_domains(manifest, found),
        levels=_levels(found, problems),
        outcomes=outcomes,
        shares=_shares(outcomes),
        spent=pooled([t.spent for t in tasks], count, right),
        grading=pooled([t.grading for t in tasks], count, right),
    )


def averaged(groups: Mapping[str, Array], weights: Mapping[str, float], name: str) -> Average:
    """The weighted mean over groups of problem means. Groups without a problem are left out, and the weights add up to 1."""
    kept = {group: weights[group] for group, values in groups.items() if len(values) and weights[group] > 0}
    total = sum(kept.values())
    shares = {group: weight / total for group, weight in kept.items()}
    return Average(name=name, accuracy=weighted_interval([groups[g] for g in shares], list(shares.values())), weights=shares)


def pooled(parts: Sequence[Spending], samples: int, right: int) -> Spending:
    """The sums of several tasks' spending, by role and model."""
    purses: dict[tuple[str, str, str], list[Purse]] = defaultdict(list)
    for part in parts:
        for purse in part.purses:
            purses[purse.role, purse.decoder, purse.model].append(purse)
    tokens = sum(part.tokens for part in parts)
    sums = [_joined(group, tokens) for _, group in sorted(purses.items())]
    started = sum(purse.started for purse in sums)
    return Spending(
        purses=tuple(sums),
        tokens=tokens,
        per_sample=tokens / samples if samples else None,
        per_correct=tokens / right if right else None,
        cost=round(sum(part.cost for part in parts), 12),
        lost_calls=sum(purse.cancelled + purse.failed for purse in sums) / started if started else None,
    )


def _joined(group: Sequence[Purse], tokens: int) -> Purse:
    counted = ("started", "served", "cancelled", "failed", "cached", "prompt_tokens", "completion_tokens", "tokens")
    sums = {name: sum(getattr(purse, name) for purse in group) for name in counted}
    cost = round(sum(purse.cost for purse in group), 12)
    share = sums["tokens"] / tokens if tokens else 0.0
    return group[0].model_copy(update={**sums, "cost": cost, "share": share, "estimated": any(p.estimated for p in group)})


def _task(run: TaskRun, table: TaskTable) -> TaskSummary:
    outcomes: dict[Outcome, int] = {}
    for code in np.unique(table.column["outcome"]):
        outcomes[OUTCOMES[int(code)]] = int((table.column["outcome"] == code).sum())
    outcomes = {name: outcomes[name] for name in OUTCOMES if name in outcomes}
    right = outcomes.get("correct", 0)
    partial = bool(np.any((table.score != 0) & (table.score != 1)))
    return TaskSummary(
        name=run.name,
        title=run.card.title,
        domain=run.card.domain,
        dimension=run.card.dimension,
        problems=run.problems,
        repeats=run.repeats,
        samples=table.samples,
        missing=table.missing,
        complete=not table.missing,
        accuracy=mean_interval(table.by_problem(table.right)),
        score=mean_interval(table.by_problem(table.score)) if partial else None,
        run_deviation=run_deviation(table),
        curve=curve(table, _powers(table.repeats)),
        votes=table.voting,
        choosing=_choosing(table),
        outcomes=outcomes,
        shares=_shares(outcomes),
        sensitivity=_sensitivity(table),
        lengths=_lengths(table),
        spent=table.spent.spending(table.samples, right),
        grading=table.grading.spending(table.samples, right),
        published=run.card.published,
    )


def run_deviation(table: TaskTable) -> float | None:
    """Standard deviation (n - 1) between the accuracies of complete runs, a run being one repeat of every problem."""
    repeats = table.column["repeat"]
    runs = [float(table.right[repeats == r].mean()) for r in np.unique(repeats) if (repeats == r).sum() == table.problems]
    return float(np.std(runs, ddof=1)) if len(runs) > 1 else None


def curve(table: TaskTable, ks: Iterable[int]) -> tuple[AtK, ...]:
    """pass@k and maj@k over the problems that have k samples, for each of `ks` that some problem has."""
    if not table.samples:
        return ()
    counts, right = table.counts()
    votes, errors = table.votes()
    per_sample = table.spent.tokens / table.samples
    points = []
    for k in ks:
        deep = np.flatnonzero(counts >= k)
        if not len(deep):
            break
        voted = float(np.mean([votes[i][k - 1] for i in deep]))
        error = float(np.sqrt(np.sum([errors[i][k - 1] ** 2 for i in deep])) / len(deep))
        passed = float(pass_at(counts[deep], right[deep], k).mean())
        points.append(AtK(k=k, problems=len(deep), tokens=k * per_sample, passed=passed, voted=voted, voted_error=error))
    return tuple(points)


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length()) if 1 << i <= most]


def _choosing(table: TaskTable) -> Choosing | None:
    if not table.samples or int(table.column["candidates"].max()) < 2:
        return None
    oracle = table.column["oracle"].astype(bool)
    return Choosing(
        candidates=float(table.column["candidates"].mean()),
        oracle=float(table.by_problem(oracle).mean()),
        chosen=float(table.by_problem(table.right).mean()),
        missed=int((oracle & ~table.right).sum()),
    )


def _sensitivity(table: TaskTable) -> Sensitivity:
    unknown: NDArray[np.bool_] = np.isin(table.column["outcome"], OPEN)

    def mean(values: NDArray[np.bool_], kept: NDArray[np.bool_] | None = None) -> float | None:
        means = table.by_problem(values, kept)
        return float(means.mean()) if len(means) else None

    best = mean(table.right | unknown)
    return Sensitivity(undecided=int(unknown.sum()), counted=mean(table.right), left_out=mean(table.right, ~unknown), at_best=best)


def _lengths(table: TaskTable) -> Lengths:
    length, right = table.column["length"], table.right
    there = length >= 0
    return Lengths(every=_spread(length[there]), right=_spread(length[there & right]), wrong=_spread(length[there & ~right]))


def _spread(values: NDArray[np.int64]) -> Spread:
    if not len(values):
        return Spread()
    median, p90 = (float(q) for q in np.percentile(values, [50, 90]))
    return Spread(samples=len(values), mean=float(values.mean()), median=median, p90=p90)


def _average(name: str, found: Mapping[str, TaskTable], weights: Mapping[str, float]) -> Average:
    return averaged({task: table.by_problem(table.right) for task, table in found.items()}, weights, name)


def _dimensions(manifest: Manifest, found: Mapping[str, TaskTable]) -> tuple[tuple[Group, ...], Estimate | None]:
    """Macro over the tasks of each dimension, and macro over dimensions."""
    named = {run.name: run.card.dimension for run in manifest.tasks if run.card.dimension and found[run.name].samples}
    groups = _groups(found, named, lambda _: 1.0)
    if not groups:
        return (), None
    weights = {task: 1.0 / list(named.values()).count(dimension) for task, dimension in named.items()}
    return groups, _average("dimensions", {task: found[task] for task in named}, weights).accuracy


def _domains(manifest: Manifest, found: Mapping[str, TaskTable]) -> tuple[Group, ...]:
    """Micro over the tasks of each domain, where there are several domains."""
    named = {run.name: run.card.domain for run in manifest.tasks if found[run.name].samples}
    return _groups(found, named, lambda task: float(found[task].problems)) if len(set(named.values())) > 1 else ()


def _groups(found: Mapping[str, TaskTable], named: Mapping[str, str], weight: Callable[[str], float]) -> tuple[Group, ...]:
    groups = []
    for name in dict.fromkeys(named.values()):
        tasks = tuple(task for task in named if named[task] == name)
        values = {task: found[task].by_problem(found[task].right) for task in tasks}
        accuracy = averaged(values, {task: weight(task) for task in tasks}, name).accuracy
        groups.append(Group(name=name, tasks=tasks, problems=accuracy.problems, accuracy=accuracy))
    return tuple(groups)


def _levels(found: Mapping[str, TaskTable], problems: Iterable[Referenced]) -> tuple[Group, ...]:
    """Mean over all problems of a level, whatever their task."""
    level: dict[tuple[str, int], str] = {}
    for line in problems:
        told = line.meta.get("level", line.meta.get("difficulty"))
        if told is not None and line.task in found:
            level[line.task, line.place] = str(told)
    if not 1 < len(set(level.values())) <= _MOST_GROUPS:
        return ()
    values: dict[str, list[float]] = defaultdict(list)
    tasks: dict[str, dict[str, None]] = defaultdict(dict)
    for name, table in found.items():
        for place, mean in zip(table.places(), table.by_problem(table.right), strict=True):
            if at := level.get((name, int(place))):
                values[at].append(float(mean))
                tasks[at][name] = None
    means = {at: mean_interval(np.array(values[at])) for at in sorted(values)}
    return tuple(Group(name=at, tasks=tuple(tasks[at]), problems=mean.problems, accuracy=mean) for at, mean in means.items())


def _total(parts: Iterable[Mapping[Outcome, int]]) -> dict[Outcome, int]:
    parts = list(parts)
    sums = {name: sum(part.get(name, 0) for part in parts) for name in OUTCOMES}
    return {name: count for name, count in sums.items() if count}


def _shares(outcomes: Mapping[Outcome, int]) -> dict[Outcome, float]:
    total = sum(outcomes.values())
    return {name: count / total for name, count in outcomes.items()}
