"""The sections on how well: accuracy, accuracy at equal tokens, the table of arms, published scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from k2core.toolkit.benchmark import Published

from ..statistics.records import Average, Estimate, TaskSummary
from .arms import Arm
from .blocks import NONE, Block, Cell, Chart, Fold, Keys, Prose, Row, Section, Table, estimated, minus, percent, whole, within
from .charts import Point, Series, interval, scatter

PLOTS = 6
"""Most tasks with a plot of their own."""


def accuracy(arms: Sequence[Arm]) -> Section:
    head = (
        "Arm" if len(arms) > 1 else "Task",
        "~0|50|100 %",
        "#Accuracy %",
        "#95 % interval",
        "#Problems \N{MULTIPLICATION SIGN} repeats",
        "#Between runs ±",
    )
    rows: list[Row] = []
    for name in tasks_of(arms):
        found = [(arm, task) for arm in arms if (task := task_of(arm, name))]
        rows += [title_of(found[0][1])] if len(arms) > 1 else []
        rows += [_row(arm.name if len(arms) > 1 else title_of(task), arm, task) for arm, task in found]
    if len(tasks_of(arms)) > 1:
        rows += _averages(arms)
    caption = "Share of right samples: mean over problems of the mean over repeats."
    claims = any(task.published for arm in arms for task in arm.summary.tasks)
    stroke: list[Block | Fold] = [Keys([("stroke", "published score")])] if claims else []
    blocks = [*stroke, Table(caption, head, rows), Prose(_explained(arms), note=True)]
    blocks += _weights(arms)
    groups = _groups(arms)
    if groups.rows:
        blocks.append(Fold("By dimension, domain and level", [groups]))
    return Section("results", "Accuracy", blocks)


def tasks_of(arms: Sequence[Arm]) -> list[str]:
    return list(dict.fromkeys(task.name for arm in arms for task in arm.summary.tasks))


def task_of(arm: Arm, name: str) -> TaskSummary | None:
    return next((task for task in arm.summary.tasks if task.name == name), None)


def title_of(task: TaskSummary) -> str:
    return f"{task.title} ({task.name})" if task.title and task.title.lower() != task.name.lower() else task.name


def _row(name: str, arm: Arm, task: TaskSummary) -> Row:
    claim = task.published[0].score / 100 if task.published else None
    size = f"{task.problems} \N{MULTIPLICATION SIGN} {task.repeats}"
    spread = NONE if task.run_deviation is None else percent(task.run_deviation)
    return [
        Cell(name, flag="" if task.complete else f"{task.missing} missing"),
        dot(task.accuracy, arm.number, name, claim),
        percent(task.accuracy.value),
        within(task.accuracy),
        size,
        spread,
    ]


def dot(estimate: Estimate, number: int, name: str, claim: float | None = None) -> Cell:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Cell(NONE)
    label = f"{name}: {estimated(estimate)} percent" + (f", published {100 * claim:g}" if claim is not None else "")
    return Cell(label, interval(estimate.value, estimate.low, estimate.high, (0, 1), label, claim), series=number)


def _averages(arms: Sequence[Arm]) -> Iterator[Row]:
    """A row of macro and one of micro for each arm."""
    for kind in ("macro", "micro"):
        if len(arms) > 1:
            yield f"{kind.title()}-average"
        for arm in arms:
            average: Average = getattr(arm.summary, kind)
            name = arm.name if len(arms) > 1 else f"={kind.title()}-average"
            cells = [percent(average.accuracy.value), within(average.accuracy), str(average.accuracy.problems or ""), ""]
            yield [Cell(name), dot(average.accuracy, arm.number, name), *cells]


def _explained(arms: Sequence[Arm]) -> str:
    methods = sorted({task.accuracy.method for arm in arms for task in arm.summary.tasks if task.accuracy.method})
    return (
        f"Intervals: {'; '.join(methods) or 'none'}. A problem with all its repeats is one observation, so repeats narrow an "
        "interval little. “Between runs” is the standard deviation of the accuracy of single runs through all problems."
    )


def _weights(arms: Sequence[Arm]) -> Iterator[Block]:
    names = tasks_of(arms)
    if len(names) < 2:
        return
    rows = [
        [name, *(percent(average.weights.get(name)) for average in (arms[0].summary.macro, arms[0].summary.micro))]
        for name in names
    ]
    yield Table("Weight of each task in the averages, in percent.", ("Task", "#Macro", "#Micro"), rows)


def _groups(arms: Sequence[Arm]) -> Table:
    rows: list[Row] = []
    for kind in ("dimensions", "domains", "levels"):
        for arm in arms:
            groups = getattr(arm.summary, kind)
            if len(groups) > 1:
                rows += [[kind[:-1], group.name, arm.name, estimated(group.accuracy), str(group.problems)] for group in groups]
    return Table("Accuracy in percent, with 95 % intervals.", ("By", "Group", "Arm", "#Accuracy", "#Problems"), rows)


def frontier(arms: Sequence[Arm], comparisons: Sequence[Block | Fold]) -> Section:
    """Accuracy against all tokens: what a vote over as many single samples would have cost and given."""
    blocks: list[Block | Fold] = [
        Prose(
            "Every token counts: prompts, plans, judges, cancelled calls. The large mark is one sample as the arm gives it; the "
            "dashed line is a majority vote over k of the same samples, at k times the price. An arm is worth its tokens where its "
            "mark lies above the other arms' lines."
        )
    ]
    names = tasks_of(arms)
    blocks += [_plot(arms, name) for name in names[:PLOTS]]
    blocks.append(Fold("Figures behind the plots: pass@k, maj@k and tokens", [_curves(arms)]))
    return Section("tokens", "Accuracy against tokens", [*comparisons, *blocks])


def _plot(arms: Sequence[Arm], name: str) -> Chart:
    series = [_series(arm, task) for arm in arms if (task := task_of(arm, name))]
    said = "; ".join(f"{s.name}: {percent(p.y)} % at {whole(p.x)} tokens" for s in series for p in s.points)
    keys = [(f"s{arm.number % 8}", arm.name) for arm in arms if task_of(arm, name)] if len(arms) > 1 else []
    chart = scatter(series, f"{name}: accuracy against tokens a sample. {said}", "tokens a problem", "accuracy %")
    return Chart(f"{name}: accuracy against total tokens for each answer", chart, keys)


def _series(arm: Arm, task: TaskSummary) -> Series:
    x = task.spent.per_sample or (task.curve[0].tokens if task.curve else 0.0)
    estimate = task.accuracy
    dot = [Point(x, estimate.value, estimate.low, estimate.high, arm.name)] if estimate.value is not None else []
    path = [Point(at.tokens, at.voted) for at in task.curve if at.problems] if task.votes else []
    return Series(arm.name, dot, path)


def _curves(arms: Sequence[Arm]) -> Table:
    rows: list[Row] = []
    for name in tasks_of(arms):
        for arm in arms:
            task = task_of(arm, name)
            for at in task.curve if task else ():
                voted = percent(at.voted) + (f" ± {100 * at.voted_error:.1f}" if at.voted_error else "")
                cells = [str(at.k), percent(at.passed), voted if task and task.votes else NONE, whole(at.tokens), str(at.problems)]
                rows.append([name, Cell(arm.name, series=arm.number), *cells])
    head = ("Task", "Arm", "#k", "#pass@k %", "#maj@k %", "#Tokens", "#Problems")
    return Table("pass@k: unbiased estimate that one of k samples is right; maj@k: that their majority vote is.", head, rows)


def ablation(arms: Sequence[Arm], differences: Sequence[str]) -> Section | None:
    """Arms below one another; `differences` holds the gain of each over the first in words. None for a single arm."""
    if len(arms) < 2:
        return None
    names = tasks_of(arms)
    first = arms[0].summary.spent.per_sample
    rows: list[Row] = []
    for arm, gain in zip(arms, differences, strict=True):
        scores = [estimated(task.accuracy if (task := task_of(arm, name)) else None) for name in names]
        averages = [estimated(arm.summary.macro.accuracy), estimated(arm.summary.micro.accuracy)] if len(names) > 1 else []
        tokens = arm.summary.spent.per_sample
        times = f"\N{MULTIPLICATION SIGN} {tokens / first:.2f}" if tokens and first else NONE
        rows.append([Cell(arm.name, series=arm.number), *scores, *averages, whole(tokens), times, gain])
    means = ("#Macro", "#Micro") if len(names) > 1 else ()
    head = (
        "Arm",
        *(f"#{name}" for name in names),
        *means,
        "#Tokens a sample",
        "#Against first",
        "Gain over the first, at the tokens each spent",
    )
    note = "No arm is better for a higher figure in this table alone: look at its tokens, and at the comparison at equal tokens."
    return Section(
        "ablation", "Arms side by side", [Table("Accuracy in percent with 95 % intervals.", head, rows), Prose(note, note=True)]
    )


def published(arms: Sequence[Arm]) -> Section | None:
    rows = [
        _gap(arm, task, claim)
        for name in tasks_of(arms)
        for arm in arms
        if (task := task_of(arm, name))
        for claim in task.published
    ]
    if not rows:
        return None
    head = ("Task", "Arm", "System", "#Published %", "#Here %", "#Gap", "Within interval", "Source")
    note = "A published score is another system's, protocol's or day's: a gap says that one of them differs, not which is right."
    return Section(
        "published",
        "Published scores",
        [Table("Gap in percentage points: here minus published.", head, rows), Prose(note, note=True)],
    )


def _gap(arm: Arm, task: TaskSummary, claim: Published) -> Row:
    here, low, high = task.accuracy.value, task.accuracy.low, task.accuracy.high
    gap = NONE if here is None else minus(f"{100 * here - claim.score:+.1f}")
    inside = NONE if low is None or high is None else "yes" if low <= claim.score / 100 <= high else "no"
    return [
        task.name,
        Cell(arm.name, series=arm.number),
        claim.system,
        f"{claim.score:g}",
        percent(here),
        gap,
        inside,
        claim.source,
    ]
