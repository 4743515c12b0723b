"""The comparison for a terminal of 80 columns."""

from __future__ import annotations

from ..statistics.significance import ALPHA
from ..statistics.text import WIDTH, columns, interval, number, paragraph, percent, short
from .records import Comparison, Difference, Flag, Overall, TaskComparison

_CURVE = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_MOST_FLAGS = 40

RULE = (
    "An arm is better only if the 95 % interval of the paired difference at equal total tokens excludes zero and the test, "
    f"corrected for all verdicts given here (Holm), has p <= {ALPHA}."
)


def render(found: Comparison, width: int = WIDTH) -> str:
    """Verdict first, then why, then what to doubt."""
    blocks = [_head(found, width), *(_task(task, width) for task in found.tasks)]
    blocks += [_means(found, width), _skipped(found, width), _flags(found.flags, width), paragraph(RULE, width)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(found: Comparison, width: int) -> str:
    arms = [(name, arm.label, arm.path, number(arm.tokens)) for name, arm in (("A", found.a), ("B", found.b))]
    lines = [paragraph(f"{label} ({path}), {tokens} tokens", width, f"{name}  ") for name, label, path, tokens in arms]
    lines.append("")
    macro, mean = found.macro, "macro " if len(found.tasks) > 1 else ""
    value = f"{mean}B - A {interval(macro.equal.difference, signed=True)} points at equal total tokens; " if macro.equal else ""
    lines.append(paragraph(f"{macro.verdict}: {value}{macro.reason}.", width))
    return "\n".join(lines)


def _task(task: TaskComparison, width: int) -> str:
    rows = [["", "A", "B", "B - A", "p"]]
    same = task.budget.votes_a == task.budget.votes_b == 1 and task.budget.equal
    raw = "as run" if same else "as run (!)"
    rows.append([raw, interval(task.a.accuracy), interval(task.b.accuracy), *_difference(task.unequal)])
    if task.equal and not same:
        rows.append(["equal tokens", percent(task.accuracy_a), percent(task.accuracy_b), *_difference(task.equal)])
    lines = [f"{short(task.name)}: {task.verdict} ({task.problems} problems, {task.a.repeats} and {task.b.repeats} repeats)"]
    lines.append(columns(rows, width=width))
    unequal = "" if same else "(!) Unequal as run. "
    lines.append(paragraph(f"{unequal}Tokens a sample: A {task.budget.a:,.0f}, B {task.budget.b:,.0f}; {task.budget.note}.", width))
    lines += [paragraph(note, width) for note in _notes(task)]
    lines += [_curve(task, width)] if max(len(task.a.curve), len(task.b.curve)) > 1 else []
    return "\n".join(lines)


def _difference(found: Difference) -> list[str]:
    return [interval(found.difference, signed=True), f"{found.p:.2g}"]


def _notes(task: TaskComparison) -> list[str]:
    notes = [f"Verdict: {task.reason}."] if task.equal else []
    if task.equal:
        notes.append(f"Test: {task.equal.test}; interval: {task.equal.difference.method}.")
    if task.budget.needed:
        cheap = "A" if task.budget.a < task.budget.b else "B"
        notes.append(f"For a verdict run {cheap} again: k2 eval run {task.name} --repeats {task.budget.needed} ...")
    if task.detectable is not None and task.verdict == "no difference shown":
        points = f"{100 * task.detectable:.1f}"
        notes.append(f"A true difference under {points} points would have been missed more often than one time in five.")
    return notes


def _curve(task: TaskComparison, width: int) -> str:
    """Accuracy of votes of k against the tokens they cost."""
    rows = [["vote of", "A tokens", "maj", "pass", "B tokens", "maj", "pass"]]
    sides = [{point.k: point for point in side.curve} for side in (task.a, task.b)]
    for k in (k for k in _CURVE if any(k in side for side in sides)):
        cells = [[number(p.tokens), percent(p.voted), percent(p.passed)] if (p := side.get(k)) else ["", "", ""] for side in sides]
        rows.append([str(k), *cells[0], *cells[1]])
    return columns(rows, width=width)


def _means(found: Comparison, width: int) -> str:
    if len(found.tasks) < 2:
        return ""
    lines = ["Over all tasks, at equal tokens"]
    for mean in (found.macro, found.micro):
        lines.append(_mean(mean, width))
    if found.macro.detectable is not None and found.macro.verdict == "no difference shown":
        points = f"{100 * found.macro.detectable:.1f}"
        lines.append(
            paragraph(f"A true macro difference under {points} points would have been missed more than one time in five.", width)
        )
    return "\n".join(lines)


def _mean(mean: Overall, width: int) -> str:
    shares = ", ".join(f"{short(name)} {percent(weight, 0)} %" for name, weight in mean.weights.items())
    if mean.equal is None:
        return paragraph(f"{mean.name}  {mean.reason} (weights: {shares})", width)
    corrected = f", corrected {mean.p_adjusted:.2g}" if mean.p_adjusted is not None else ""
    value = f"B - A {interval(mean.equal.difference, signed=True)}, p {mean.equal.p:.2g}{corrected}"
    return paragraph(f"{mean.name}  {value} (weights: {shares})", width)


def _skipped(found: Comparison, width: int) -> str:
    return "\n".join(paragraph(f"{name} is not compared: {why}.", width) for name, why in found.skipped.items())


def _flags(flags: tuple[Flag, ...], width: int) -> str:
    lines = [f"{len(flags)} flags" if len(flags) != 1 else "1 flag"] if flags else []
    for flag in flags[:_MOST_FLAGS]:
        values = [f"{name}: {value}" for name, value in (("A", flag.a), ("B", flag.b)) if value]
        lines.append(paragraph(f"{flag.text}. {'; '.join(values)}", width, "  ! "))
    if len(flags) > _MOST_FLAGS:
        lines.append(f"  and {len(flags) - _MOST_FLAGS} more: see --json")
    return "\n".join(lines)
