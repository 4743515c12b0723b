"""`compare`: two evaluations, paired by problem, at equal total tokens.

One is called better only if two ways of looking agree: the 95 % interval of the paired difference excludes zero, and the exact
(or permutation) test, corrected by Holm for all verdicts of the comparison, has p <= 0.035. The test keeps comparisons of equals
within 5 %, which the interval alone would not at few problems. Its level is under 0.05 as a test at 0.05 would call 5 % of equals
better in the mean, so more than 5 % in every other thousand, and as differences are not quite symmetric where one arm votes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from k2core.errors import ConfigError

from ..records import Manifest, TaskRun
from ..statistics.intervals import Array, difference_interval, mean_interval, weighted_interval
from ..statistics.significance import ALPHA, detectable, holm, paired_test
from ..statistics.summary import curve
from ..statistics.table import TaskTable, tables
from ..store.folder import Folder
from .budget import Mode, at_votes, budget, paired
from .flags import flags
from .records import Arm, Comparison, Difference, Overall, Side, TaskComparison, Verdict

TOLERANCE = 0.02


class Compared(NamedTuple):
    task: TaskComparison
    differences: Array | None
    """B - A at equal tokens by problem, shape (problems,)."""


def compare(a: Folder, b: Folder, *, tolerance: float = TOLERANCE, mode: Mode = "vote") -> Comparison:
    """Compare two folders. Raises `ConfigError` where they hold no evaluation or have no task in common."""
    first, second = a.manifest(), b.manifest()
    tables_a, tables_b = tables(first, a.samples()), tables(second, b.samples())
    common, skipped = matched(first, second, tables_a, tables_b)
    if not common:
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped.items())
        raise ConfigError(f"{a.path} and {b.path} have no task to compare: {reasons}")
    found = [task(tables_a[name], tables_b[name], tolerance, mode) for name in common]
    told, macro, micro = overall(found)
    return Comparison(
        a=_arm(a, first, tables_a),
        b=_arm(b, second, tables_b),
        tolerance=tolerance,
        tasks=told,
        skipped=skipped,
        macro=macro,
        micro=micro,
        flags=flags((first, second), (tables_a, tables_b), told),
    )


def matched(
    a: Manifest, b: Manifest, tables_a: Mapping[str, TaskTable], tables_b: Mapping[str, TaskTable]
) -> tuple[list[str], dict[str, str]]:
    """Names of the tasks that both evaluated on the same problems and references; the others, and why not."""
    ours: dict[str, TaskRun] = {run.name: run for run in a.tasks}
    theirs: dict[str, TaskRun] = {run.name: run for run in b.tasks}
    common, skipped = [], {}
    for name in dict.fromkeys([*ours, *theirs]):
        if name not in ours or name not in theirs:
            skipped[name] = f"only {'B' if name not in ours else 'A'} has it"
        elif ours[name].digest != theirs[name].digest:
            sizes = f"{ours[name].problems} and {theirs[name].problems} problems"
            skipped[name] = f"the problems or references are not the same ({sizes}); run both on the same data and --limit"
        elif not len(np.intersect1d(tables_a[name].places(), tables_b[name].places())):
            skipped[name] = "no problem has samples of both yet"
        else:
            common.append(name)
    return common, skipped


def task(a: TaskTable, b: TaskTable, tolerance: float = TOLERANCE, mode: Mode = "vote", curves: bool = True) -> Compared:
    """The comparison on one task, still without verdict: that depends on how many there are."""
    pair = paired(a, b)
    means = budget(pair, tolerance, mode, (a.voting, b.voting))
    unequal, differences, equal = _difference(pair.b - pair.a), None, None
    if means.equal:
        equal_a, equal_b = at_votes(pair.votes_a, pair.a, means.votes_a), at_votes(pair.votes_b, pair.b, means.votes_b)
        differences = equal_b - equal_a
        equal = unequal if means.votes_a == means.votes_b == 1 else _difference(differences)
    return Compared(
        TaskComparison(
            name=a.name,
            problems=len(pair.a),
            a=_side(a, curves),
            b=_side(b, curves),
            budget=means,
            unequal=unequal,
            equal=equal,
            accuracy_a=None if differences is None else float(equal_a.mean()),
            accuracy_b=None if differences is None else float(equal_b.mean()),
            detectable=detectable(equal.difference) if equal else None,
        ),
        differences,
    )


def overall(found: Sequence[Compared]) -> tuple[tuple[TaskComparison, ...], Overall, Overall]:
    """Verdicts for the tasks and for their mean, corrected together."""
    macro = _mean("macro", found, [1.0] * len(found))
    micro = _mean("micro", found, [float(one.task.problems) for one in found])
    alone = len(found) == 1
    tests = [one.task.equal.p for one in found if one.task.equal] + ([macro.equal.p] if macro.equal and not alone else [])
    adjusted = iter(holm(tests))
    told = tuple(_told(one.task, next(adjusted) if one.task.equal else None) for one in found)
    if alone:
        same = {"p_adjusted": told[0].p_adjusted, "verdict": told[0].verdict, "reason": told[0].reason}
        return told, macro.model_copy(update=same), micro
    final = next(adjusted) if macro.equal else None
    verdict, reason = _verdict(macro.equal, final, macro.reason)
    return told, macro.model_copy(update={"p_adjusted": final, "verdict": verdict, "reason": reason}), micro


def _told(one: TaskComparison, adjusted: float | None) -> TaskComparison:
    verdict, reason = _verdict(one.equal, adjusted, f"total tokens are not equal: {one.budget.note}")
    return one.model_copy(update={"p_adjusted": adjusted, "verdict": verdict, "reason": reason})


def _verdict(found: Difference | None, adjusted: float | None, why_not: str) -> tuple[Verdict, str]:
    if found is None or adjusted is None:
        return "no difference shown", why_not
    value, low, high = (found.difference.value or 0.0, found.difference.low or 0.0, found.difference.high or 0.0)
    clear, likely = low > 0 or high < 0, adjusted <= ALPHA
    if clear and likely:
        return ("B is better" if value > 0 else "A is better"), f"the interval excludes zero, and the corrected p is {adjusted:.2g}"
    inside = "the interval excludes zero, but" if clear else "the interval includes zero, and"
    return "no difference shown", f"{inside} the corrected p is {adjusted:.2g}"


def _mean(name: str, found: Sequence[Compared], weights: Sequence[float]) -> Overall:
    shares = [weight / sum(weights) for weight in weights]
    named = {one.task.name: share for one, share in zip(found, shares, strict=True)}
    if len(found) == 1 and found[0].task.equal:
        return Overall(name=name, weights=named, equal=found[0].task.equal, detectable=found[0].task.detectable)
    strata = [one.differences for one in found if one.differences is not None]
    if len(strata) < len(found):
        return Overall(name=name, weights=named, reason="not every task can be compared at equal tokens")
    parts = np.concatenate([share * values / len(values) for share, values in zip(shares, strata, strict=True)])
    test = paired_test(parts * len(parts))
    interval = weighted_interval(strata, shares, paired=True)
    equal = Difference(difference=interval, p=test.p, test=test.method)
    return Overall(name=name, weights=named, equal=equal, detectable=detectable(interval))


def _difference(values: Array) -> Difference:
    test = paired_test(values)
    return Difference(difference=difference_interval(values), p=test.p, test=test.method)


def _side(table: TaskTable, curves: bool) -> Side:
    points = curve(table, range(1, table.repeats + 1)) if curves else ()
    accuracy = mean_interval(table.by_problem(table.right))
    return Side(accuracy=accuracy, repeats=table.repeats, samples=table.samples, missing=table.missing, curve=points)


def _arm(folder: Folder, manifest: Manifest, found: Mapping[str, TaskTable]) -> Arm:
    return Arm(
        path=str(folder.path),
        label=manifest.label or folder.path.name,
        preset=manifest.preset,
        samples=sum(table.samples for table in found.values()),
        tokens=sum(table.spent.tokens for table in found.values()),
        complete=not any(table.missing for table in found.values()),
    )
