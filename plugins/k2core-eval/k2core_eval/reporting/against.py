"""The sections on arms against one another at equal tokens, and on problems that were in training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from k2core.errors import ConfigError

from ..comparing.comparison import compare
from ..comparing.records import Comparison, TaskComparison
from ..comparing.text import RULE
from ..contamination.report import Report
from ..statistics.intervals import mean_interval
from ..statistics.records import Estimate
from .arms import Arm, Light
from .blocks import (
    NONE,
    Block,
    Cell,
    Fold,
    Items,
    Prose,
    Row,
    Section,
    Table,
    counted,
    estimated,
    listed,
    minus,
    percent,
    whole,
    within,
)
from .caveats import Caveat
from .charts import difference

FLAGS = 60


def comparisons(arms: Sequence[Arm]) -> list[Comparison | str]:
    """Each arm but the first against the first, or why the two cannot be compared."""
    found: list[Comparison | str] = []
    for arm in arms[1:]:
        try:
            found.append(compare(arms[0].folder, arm.folder))
        except ConfigError as error:
            found.append(f"{arm.name} is not compared with {arms[0].name}: {error}")
    return found


def said(found: Comparison | str, a: str, b: str) -> str:
    """The verdict in a sentence, with the arms' names."""
    if isinstance(found, str):
        return found
    macro = found.macro
    equal = f", {signed(macro.equal.difference)}" if macro.equal else ""
    verdict = macro.verdict.replace("A is", f"{a} is").replace("B is", f"{b} is")
    return f"{b} against {a}: {verdict} at equal tokens{equal}: {macro.reason}."


def gains(arms: Sequence[Arm], found: Sequence[Comparison | str]) -> list[str]:
    """The macro difference of each arm to the first as the two ran, for the table of arms."""
    return [NONE, *(_gain(one) for one in found)]


def _gain(found: Comparison | str) -> str:
    if isinstance(found, str):
        return "not comparable"
    parts = [f"{signed(task.unequal.difference)} on {task.name}" for task in found.tasks]
    return "; ".join(parts) if len(parts) > 1 else signed(found.tasks[0].unequal.difference)


def signed(estimate: Estimate) -> str:
    return NONE if estimate.value is None else minus(f"{100 * estimate.value:+.1f} {within(estimate, signed=True)}".rstrip())


def equal_tokens(arms: Sequence[Arm], found: Sequence[Comparison | str]) -> list[Block | Fold]:
    """The verdicts, the table behind them and the flags."""
    if not found:
        return []
    a = arms[0]
    sentences = " ".join(said(one, a.name, arm.name) for arm, one in zip(arms[1:], found, strict=True))
    rows = [row for arm, one in zip(arms[1:], found, strict=True) if isinstance(one, Comparison) for row in _rows(arm, one)]
    head = (
        "Arm",
        "Task",
        "~\N{MINUS SIGN}30|0|+30",
        "#Difference",
        "#p, corrected",
        "#Votes",
        "Verdict",
        "How budgets were made equal",
    )
    blocks: list[Block | Fold] = [Prose(sentences)]
    if rows:
        blocks += [Table(f"Differences to {a.name} in percentage points at equal total tokens, paired by problem.", head, rows)]
        blocks.append(
            Prose(
                f"{RULE} “Votes”: samples of {a.name} and of the arm that a majority vote decides, so that both spend alike.",
                note=True,
            )
        )
    for arm, one in zip(arms[1:], found, strict=True):
        if isinstance(one, Comparison) and one.flags:
            blocks.append(Fold(f"{counted(len(one.flags), 'flag')}: {a.name} (A) against {arm.name} (B)", [_flags(one)]))
    return blocks


def _rows(arm: Arm, found: Comparison) -> Iterator[Row]:
    for task in found.tasks:
        yield [Cell(arm.name, series=arm.number), *_row(task, arm)]
    if len(found.tasks) > 1 and found.macro.equal:
        macro = found.macro
        equal = macro.equal
        assert equal is not None
        chart = _chart(equal.difference, arm, "macro-average")
        adjusted = NONE if macro.p_adjusted is None else f"{macro.p_adjusted:.2g}"
        yield [
            Cell(arm.name, series=arm.number),
            "macro-average",
            chart,
            signed(equal.difference),
            adjusted,
            "",
            _named(macro.verdict, arm),
            macro.reason,
        ]


def _row(task: TaskComparison, arm: Arm) -> list[Cell | str]:
    votes = f"{task.budget.votes_a:.3g} : {task.budget.votes_b:.3g}"
    why = task.budget.note + (f"; {task.budget.needed} repeats would be needed" if task.budget.needed else "")
    if task.equal is None:
        return [task.name, Cell(NONE), NONE, NONE, NONE, "none", why]
    estimate = task.equal.difference
    adjusted = NONE if task.p_adjusted is None else f"{task.p_adjusted:.2g}"
    return [task.name, _chart(estimate, arm, task.name), signed(estimate), adjusted, votes, _named(task.verdict, arm), why]


def _named(verdict: str, arm: Arm) -> str:
    return "better" if verdict == "B is better" else "worse" if verdict == "A is better" else "no difference shown"


def _chart(estimate: Estimate, arm: Arm, task: str) -> Cell:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Cell(NONE)
    label = f"{arm.name}, {task}: {signed(estimate)} points"
    low, value, high = (max(-0.3, min(0.3, v)) for v in (estimate.low, estimate.value, estimate.high))
    return Cell(label, difference(value, low, high, 0.3, label), series=arm.number)


def _flags(found: Comparison) -> Items:
    items = []
    for flag in found.flags[:FLAGS]:
        values = [f"{name}: {value}" for name, value in (("A", flag.a), ("B", flag.b)) if value]
        items.append(
            (f"{flag.text[:1].upper()}{flag.text[1:]}.", "; ".join(values), flag.kind in ("budget", "external model", "incomplete"))
        )
    if len(found.flags) > FLAGS:
        items.append(("And more.", f"{len(found.flags) - FLAGS} further flags: k2 eval compare --json", False))
    return Items(items)


def doubts(arms: Sequence[Arm], found: Sequence[Comparison | str]) -> Iterator[Caveat]:
    """What the comparisons add to the caveats."""
    pairs = list(zip(arms[1:], found, strict=True))
    compared = [(arm, one) for arm, one in pairs if isinstance(one, Comparison)]
    yield from (Caveat("Not comparable.", one, True) for _, one in pairs if isinstance(one, str))
    uneven = [(arm.name, [t.name for t in one.tasks if t.equal is None]) for arm, one in compared]
    if facts := [f"{name} on {listed(tasks)}" for name, tasks in uneven if tasks]:
        text = f"Their budgets cannot be made equal to that of {arms[0].name}, so no verdict: the cheaper arm needs more repeats."
        yield Caveat("Unequal budgets.", text, True, "; ".join(facts) + ".")
    spent = [(arm.name, [(t.budget.a, t.budget.b) for t in one.tasks if t.budget.a and t.budget.b]) for arm, one in compared]
    factors = [(name, max((max(pair) / min(pair) for pair in budgets), default=1.0)) for name, budgets in spent]
    if facts := [f"{name} up to \N{MULTIPLICATION SIGN} {factor:.2f}" for name, factor in factors if factor > 1.02]:
        text = f"Arms spend other amounts of tokens than {arms[0].name}, so their raw scores are no fair race."
        yield Caveat("Compared across budgets.", text, True, "; ".join(facts) + ".")
    if skipped := [f"{arm.name}, {task}: {why}" for arm, one in compared for task, why in one.skipped.items()]:
        yield Caveat("Tasks left out of the comparison.", "; ".join(skipped) + ".")


def contamination(arms: Sequence[Arm]) -> Section:
    blocks: list[Block | Fold] = []
    unchecked = [arm.name for arm in arms if arm.contamination is None]
    if unchecked:
        whose = "" if len(unchecked) == len(arms) == 1 else f" for {', '.join(unchecked)}"
        blocks.append(
            Prose(
                f"Not checked{whose}: nobody compared these problems with training data, so nothing is known of it. "
                "k2 eval contamination --train DATA --eval TASK does, and writes what this section shows."
            )
        )
    rows = [row for arm in arms if arm.contamination for row in _parts(arm, arm.contamination)]
    if rows:
        searched = next(arm.contamination.training for arm in arms if arm.contamination)
        blocks.append(Prose(f"Searched: {counted(searched.rows, 'row')} of training data in {counted(searched.files, 'file')}."))
        head = ("Task", "Arm", "#Found", "exact · normalised · n-gram · near", "#All %", "#Clean part %", "#Found part %")
        blocks.append(Table("Scores on the problems that were not found in the training data, and on those that were.", head, rows))
        blocks.append(Prose("“Not found” is said of the data that were searched, and of no others.", note=True))
    return Section("contamination", "Contamination", blocks)


def _parts(arm: Arm, report: Report) -> Iterator[Row]:
    for count in report.tasks:
        rows = {place: row for (task, place), row in arm.outcomes.items() if task == count.task}
        if not rows:
            continue
        dirty = report.dirty(count.task)
        parts = [_accuracy([row for place, row in rows.items() if wanted(place, dirty)]) for wanted in (_any, _clean, _found)]
        kinds = " · ".join(whole(n) for n in (count.exact, count.normalised, count.ngram, count.near))
        share = f"{count.found} of {count.problems} ({percent(count.found / (count.problems or 1))} %)"
        yield [count.task, Cell(arm.name, series=arm.number), share, kinds, *(f"{estimated(e)} ({e.problems})" for e in parts)]


def _any(place: int, dirty: set[int]) -> bool:
    return True


def _clean(place: int, dirty: set[int]) -> bool:
    return place not in dirty


def _found(place: int, dirty: set[int]) -> bool:
    return place in dirty


def _accuracy(rows: Sequence[Sequence[Light]]) -> Estimate:
    return mean_interval(np.array([sum(light.outcome == "correct" for light in row) / len(row) for row in rows]))
