"""What a rescoring changed, in words and as data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from k2core_hooks import printable

from ..records import Outcome, SampleId
from ..statistics.records import Estimate
from ..statistics.summary import summarise
from ..store.folder import Folder
from .rescore import Rescored, Rescoring

RESCORED = "rescored.json"
SHOWN = 20
"""Samples with another outcome that are printed one by one."""


@dataclass(frozen=True)
class Change:
    """A sample that ended otherwise than before."""

    id: SampleId
    before: Outcome
    after: Outcome
    answer_before: str | None
    answer_after: str | None


def changes(source: Folder, out: Folder) -> Iterator[Change]:
    """The samples of both folders whose outcomes differ, in the order of `out`."""
    old = {sample.id: (sample.outcome, sample.answer) for sample in source.samples()}
    for sample in out.samples():
        if sample.id in old and old[sample.id][0] != sample.outcome:
            before, answer = old[sample.id]
            yield Change(sample.id, before, sample.outcome, answer, sample.answer)


def as_json(rescoring: Rescoring, rescored: Rescored) -> dict[str, Any]:
    """For `rescored.json`. Single samples are only listed where they stayed themselves."""
    wish, pooled = rescoring.wish, rescored.deal.pooled
    found = [] if pooled else list(changes(Folder(wish.source), Folder(wish.out)))
    counts = Counter(f"{change.before} -> {change.after}" for change in found)
    return {
        "changed": list(wish.overrides),
        "without": list(wish.without),
        "pooled": pooled,
        "repeats": rescored.deal.repeats,
        "repeats_recorded": rescored.recorded,
        "plan_for_each_candidate": rescored.replanned,
        "without_a_clock": dict(rescoring.changed.clockless),
        "new_calls": rescored.calls,
        "new_completion_tokens": rescored.tokens,
        "outcomes": dict(sorted(counts.items())),
        "samples": [{**c.id._asdict(), "before": c.before, "after": c.after} for c in found],
    }


def write(out: Folder, told: dict[str, Any]) -> None:
    out.file(RESCORED).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def text(rescoring: Rescoring, rescored: Rescored) -> str:
    """The report on the terminal, but for the comparison."""
    source, out = Folder(rescoring.wish.source), Folder(rescoring.wish.out)
    lines = [_how(rescored), _spend(rescored), *_still(rescoring), ""]
    for task, before, after in _accuracies(source, out):
        lines.append(f"{printable(task)}: accuracy {before} -> {after}")
    if not rescored.deal.pooled:
        lines += ["", *_changed(list(changes(source, out)))]
    return "\n".join(lines)


def _still(rescoring: Rescoring) -> list[str]:
    found = rescoring.changed.clockless.items()
    return [f"sampler.{option} = {value!r}: no time passes here that it could go by" for option, value in found]


def _how(rescored: Rescored) -> str:
    repeats = f"{rescored.deal.repeats} of {rescored.recorded} repeats"
    if not rescored.deal.pooled:
        return f"every sample on its own stored candidates, {repeats}"
    plans = "; each candidate keeps the plan it was drawn under and pays for it" if rescored.replanned else ""
    return f"candidates of all repeats of a problem were pooled and dealt anew, which gives {repeats}{plans}"


def _spend(rescored: Rescored) -> str:
    if not rescored.calls:
        return "no model was asked"
    return f"models were asked anew: {rescored.calls:,} calls, {rescored.tokens:,} completion tokens of new spend"


def _accuracies(source: Folder, out: Folder) -> Iterator[tuple[str, str, str]]:
    old = {task.name: task.accuracy for task in summarise(source.manifest(), source.samples()).tasks}
    for task in summarise(out.manifest(), out.samples()).tasks:
        yield task.name, percent(old[task.name]), percent(task.accuracy)


def percent(estimate: Estimate) -> str:
    if estimate.value is None:
        return "none"
    value = f"{100 * estimate.value:.1f} %"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _changed(found: Sequence[Change]) -> list[str]:
    if not found:
        return ["no sample has another outcome"]
    counts = Counter((change.before, change.after) for change in found)
    lines = [f"{len(found)} samples have another outcome:"]
    lines += [f"  {number:>5}  {before} -> {after}" for (before, after), number in counts.most_common()]
    for change in found[:SHOWN]:
        answers = f"{_short(change.answer_before)} -> {_short(change.answer_after)}"
        lines.append(f"  {change.id}: {change.before} -> {change.after}; {answers}")
    return [*lines, f"  and {len(found) - SHOWN} more, in {RESCORED}"] if len(found) > SHOWN else lines


def _short(answer: str | None) -> str:
    told = " ".join(printable("no answer" if answer is None else answer).split())
    return told if len(told) <= 40 else told[:37] + "..."
