"""The summary as a table for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from .clocks import Clocks
from .records import Average, Estimate, Spending, Summary, TaskSummary

WIDTH = 80

SAID: Mapping[str, str] = {
    "correct": "right",
    "incorrect": "wrong",
    "truncated": "cut off",
    "unparsed": "no answer",
    "undecided": "undecided",
    "verifier_error": "grader",
    "infrastructure": "pipeline",
}
"""Outcomes in a word or two; the last two failed."""


def render_text(summary: Summary, clocks: Clocks | None = None, width: int = WIDTH) -> str:
    """The figures for people; everything is in `Summary` too."""
    blocks = [_head(summary), _tasks(summary, width), _outcomes(summary, width), _spending(summary, width)]
    blocks += [_groups(summary, width), _time(clocks) if clocks else ""]
    return "\n\n".join(block for block in blocks if block) + "\n"


def percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def interval(estimate: Estimate, signed: bool = False) -> str:
    """In percent, such as `43.1 [33.0, 54.2]`."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    form = "+.1f" if signed else ".1f"
    return f"{100 * estimate.value:{form}} [{100 * estimate.low:{form}}, {100 * estimate.high:{form}}]"


def number(value: float | None) -> str:
    """Three digits and a unit, such as `3.59 k`."""
    if value is None:
        return "-"
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{name}" if abs(value) < 999.5 * unit or unit == 1e9 else f"{value / unit:.0f}{name}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def columns(rows: Sequence[Sequence[str]], left: int = 1, width: int = WIDTH) -> str:
    """Rows under each other; the first `left` columns are flush left, and the first is cut to what fits in `width`."""
    sizes = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    sizes[0] = min(sizes[0], max(8, width - sum(sizes[1:]) - 2 * (len(sizes) - 1)))
    return "\n".join("  ".join(_cell(cell, sizes[i], i < left) for i, cell in enumerate(row)).rstrip() for row in rows)


def _cell(text: str, size: int, left: bool) -> str:
    text = text if len(text) <= size else text[: size - 1] + "…"
    return text.ljust(size) if left else text.rjust(size)


def short(name: str, size: int = 28) -> str:
    """A name that fits a table; of a path, what tells most: its end."""
    if "/" in name and len(name) > size:
        head, colon, path = name.partition(":")
        name = f"{head}:…/{path.rsplit('/', 1)[-1]}" if colon else f"…/{name.rsplit('/', 1)[-1]}"
    return name if len(name) <= size else name[: size - 10] + "…" + name[-9:]


def paragraph(text: str, width: int = WIDTH, indent: str = "") -> str:
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=" " * len(indent))


def _head(summary: Summary) -> str:
    name = " · ".join(part for part in (summary.label, f"preset {summary.preset}" if summary.preset else "") if part)
    state = "complete" if summary.complete else f"INCOMPLETE: {summary.missing:,} samples missing"
    twice = f" · {summary.duplicates:,} duplicates left out" if summary.duplicates else ""
    return f"{name + ' · ' if name else ''}{summary.samples:,} samples, {state}{twice}"


def _tasks(summary: Summary, width: int) -> str:
    rows = [["task", "n x runs", "accuracy [95 %]", "between runs", "pass@k", "maj@k", "k"]]
    for task in summary.tasks:
        last = task.curve[-1] if task.curve else None
        size = f"{task.problems} x {task.repeats}"
        spread = f"± {percent(task.run_deviation)}" if task.run_deviation is not None else "-"
        deep = [percent(last.passed), percent(last.voted), str(last.k)] if last and last.k > 1 else ["-", "-", "-"]
        rows.append([short(task.name), size, interval(task.accuracy), spread, *deep])
    notes = [_average(average) for average in (summary.macro, summary.micro)] if len(summary.tasks) > 1 else []
    unusual = sorted({task.accuracy.method for task in summary.tasks if task.accuracy.method})
    notes += (
        [paragraph(f"Intervals: {', '.join(unusual)}; a problem with all its repeats is one observation.", width)]
        if unusual
        else []
    )
    return "\n".join([columns(rows, width=width), *notes])


def _average(average: Average) -> str:
    shares = ", ".join(f"{short(name)} {percent(weight, 0)} %" for name, weight in average.weights.items())
    return paragraph(f"{average.name}  {interval(average.accuracy)}  weights: {shares}")


def _outcomes(summary: Summary, width: int) -> str:
    present = [name for name in SAID if summary.outcomes.get(name)]  # type: ignore[call-overload] # SAID's keys are the outcomes
    rows = [["samples, %", *(SAID[name] for name in present)]]
    rows += [[short(task.name), *_shares(task, present)] for task in summary.tasks]
    lines = [columns(rows, width=width)] if present else []
    for task in summary.tasks:
        lines += [paragraph(note, width) for note in _notes(task)]
    return "\n".join(lines)


def _shares(task: TaskSummary, present: Iterable[str]) -> list[str]:
    return [percent(task.shares.get(name, 0.0)) for name in present]  # type: ignore[call-overload] # as above


def _notes(task: TaskSummary) -> list[str]:
    notes = []
    open_ = task.sensitivity
    if open_.undecided:
        notes.append(
            f"{short(task.name)}: {open_.undecided:,} samples were left open and count as wrong; "
            f"{percent(open_.counted)} would be {percent(open_.left_out)} without them, at best {percent(open_.at_best)}."
        )
    if task.choosing:
        chosen, oracle = percent(task.choosing.chosen), percent(task.choosing.oracle)
        among = f"a right candidate was among {task.choosing.candidates:.1f} in {oracle} % of the samples"
        notes.append(f"{short(task.name)}: {among}, and chosen in {chosen} %.")
    if not task.votes:
        notes.append(f"{short(task.name)}: answers have no canonical form, so maj@k is a draw.")
    return notes


def _spending(summary: Summary, width: int) -> str:
    if not summary.spent.purses:
        return ""
    rows = [["tokens: role", "model", "calls", "lost", "prompt", "completion", "share"]]
    for purse in summary.spent.purses:
        counts = [number(purse.started), number(purse.cancelled + purse.failed)]
        tokens = [number(purse.prompt_tokens), number(purse.completion_tokens), f"{percent(purse.share, 0)} %"]
        rows.append([purse.role, short(purse.model or purse.decoder), *counts, *tokens])
    lines = [columns(rows, left=2, width=width), _sums("pipeline", summary.spent)]
    lines += [_sums("grading, apart", summary.grading)] if summary.grading.tokens else []
    lengths = [[short(task.name), *(number(x) for x in _lengths(task))] for task in summary.tasks]
    lines.append(columns([["answer length", "mean", "median", "p90", "right", "wrong"], *lengths], width=width))
    return "\n".join(lines)


def _lengths(task: TaskSummary) -> list[float | None]:
    every = task.lengths.every
    return [every.mean, every.median, every.p90, task.lengths.right.mean, task.lengths.wrong.mean]


def _sums(name: str, spending: Spending) -> str:
    lost = f", {percent(spending.lost_calls)} % of calls cancelled or failed" if spending.lost_calls else ""
    cost = f", cost {spending.cost:.4g}" if spending.cost else ""
    guess = ", partly estimated" if any(purse.estimated for purse in spending.purses) else ""
    each = f"{number(spending.per_sample)} a sample, {number(spending.per_correct)} a right answer"
    return paragraph(f"{name}: {number(spending.tokens)} tokens, {each}{cost}{lost}{guess}")


def _groups(summary: Summary, width: int) -> str:
    lines = []
    for title, groups in (("dimension", summary.dimensions), ("domain", summary.domains), ("level", summary.levels)):
        rows = [[g.name, str(g.problems), interval(g.accuracy)] for g in groups]
        lines += [columns([[title, "problems", "accuracy [95 %]"], *rows], width=width)] if rows else []
        if title == "dimension" and summary.dimension_macro:
            lines.append(f"mean over dimensions  {interval(summary.dimension_macro)}")
    return "\n".join(lines)


def _time(clocks: Clocks) -> str:
    seconds = clocks.seconds
    if not seconds.samples:
        return ""
    parts = (("median", seconds.p50), ("p90", seconds.p90), ("p99", seconds.p99), ("longest", seconds.longest))
    return "seconds a sample: " + ", ".join(f"{name} {value:.3g}" for name, value in parts if value is not None)
