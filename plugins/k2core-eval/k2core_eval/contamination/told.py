"""A report in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from .report import FoundProblem, Part, Report, TaskCount

SHOWN = 10


def told(report: Report) -> str:
    """The whole report for a terminal. Names files and rows; shows texts only where they may be published."""
    lines: list[str] = []
    for count in report.tasks if report.training.files else ():
        lines += _task(count)
    lines += _scores(report)
    lines += _matches("To check by eye, the weakest first", [one for one in report.found if one.kind in ("near", "ngram")])
    lines += _twins(report)
    training = report.training
    if training.files:
        lines.append(f"Searched {training.rows:,} rows in {training.files:,} files, {training.characters:,} characters.")
    if training.damaged:
        lines.append(f"{training.damaged:,} rows or files were damaged and could not be searched; the first:")
        lines += [f"  {example}" for example in training.examples[:5]]
    lines.append("Not found does not mean unseen: translations, other wordings and data that were not given here cannot be found.")
    return "\n".join(lines)


def _task(count: TaskCount) -> Iterator[str]:
    head = f"{count.found:,} of {count.problems:,} problems of {count.task} were found in the training data"
    names = (
        (count.exact, "exact"),
        (count.normalised, "the same but for layout, LaTeX or punctuation"),
        (count.ngram, "by shared 13-grams"),
        (count.near, "near-duplicates"),
    )
    said = ", ".join(f"{number:,} {name}" for number, name in names if number)
    yield f"{head}: {said}." if said else f"{head}."
    if count.changed:
        same = count.found - count.changed
        yield f"  {same:,} have their own numbers there, {count.changed:,} only others: changed on purpose, or of one template."
    if count.unsearched:
        yield f"  {count.unsearched:,} are too short to be looked for."
    if count.possible:
        yield f"  {count.possible:,} more are short, and their wording occurs with other numbers: not counted, listed as possible."


def _scores(report: Report) -> Iterator[str]:
    if report.scores:
        yield "Accuracy, with 95 % intervals over problems:"
    for part in report.scores:
        yield f"  {part.label or part.folder}, {part.task}, {part.part}: {_accuracy(part)}"


def _accuracy(part: Part) -> str:
    if part.accuracy.value is None:
        return "no problem"
    low, high = part.accuracy.low or 0.0, part.accuracy.high or 0.0
    return f"{part.accuracy.value:.1%} ({low:.1%} to {high:.1%}), {part.problems:,} problems, {part.samples:,} samples"


def _matches(title: str, found: list[FoundProblem]) -> Iterator[str]:
    if found:
        yield f"{title}:"
    for one in sorted(found, key=lambda one: one.matches[0].score)[:SHOWN]:
        match = one.matches[0]
        yield f"  {one.task} {one.id}: {match.kind} {match.score:.2f}, {match.file}:{match.row}"
        if match.excerpt:
            yield f"    {match.excerpt[:110]}"


def _twins(report: Report) -> Iterator[str]:
    if report.twins is None:
        return
    yield f"{len(report.twins):,} pairs of problems of the evaluation are the same or nearly so:"
    for twin in report.twins[:SHOWN]:
        yield f"  {twin.task} {twin.id} and {twin.other_task} {twin.other_id}: {twin.kind} {twin.score:.2f}"
    if len(report.twins) > SHOWN:
        yield f"  … and {len(report.twins) - SHOWN:,} more in the file."
