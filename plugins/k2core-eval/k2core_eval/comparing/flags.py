"""What a sceptic would ask about two evaluations: every flag in plain words, with the two values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ..records import Manifest, Outcome
from ..statistics.table import OUTCOMES, TaskTable
from .records import Flag, TaskComparison
from .settings import changed

Pair: TypeAlias = tuple[Manifest, Manifest]
Tables: TypeAlias = tuple[Mapping[str, TaskTable], Mapping[str, TaskTable]]

_DEPARTED = ", but "
"""How a manifest's preset goes on where options differ from it."""
_UNEVEN = 0.02
"""Difference of two shares that is told."""


def flags(manifests: Pair, tables: Tables, tasks: Sequence[TaskComparison]) -> tuple[Flag, ...]:
    """All flags, those that touch the verdict first."""
    found: list[Flag] = []
    for task in tasks:
        found += _budget(task)
    found += _external(manifests, tables)
    for task in tasks:
        found += [*_uneven(task.name, tables), *_incomplete(task), *_repeats(task), *_published(task, manifests)]
    found += [*_counting(manifests, tables), *_grading(manifests, [task.name for task in tasks])]
    found += [*_protocol(manifests), *changed(manifests[0].config, manifests[1].config)]
    return tuple(found)


def _budget(task: TaskComparison) -> Iterator[Flag]:
    if task.budget.votes_a != 1 or task.budget.votes_b != 1 or not task.budget.equal:
        a, b = f"{task.budget.a:,.0f} tokens a sample", f"{task.budget.b:,.0f}"
        yield Flag(kind="budget", task=task.name, text=f"unequal budgets on {task.name}", a=a, b=b)


def _external(manifests: Pair, tables: Tables) -> Iterator[Flag]:
    """A role that is served by another model than the solver's."""
    for arm, (manifest, found) in zip("AB", zip(manifests, tables, strict=True), strict=True):
        models: dict[str, set[str]] = {}
        for table in found.values():
            for purse in table.spent.spending(0, 0).purses:
                models.setdefault(purse.role, set()).add(purse.model or _model(manifest.config, purse.decoder))
        solvers = models.pop("solve", set())
        for role, used in models.items():
            if others := used - solvers:
                theirs, own = ", ".join(sorted(others)), ", ".join(sorted(solvers)) or "unknown"
                text = f"{arm} uses a model beside the solver's for the role {role}: its skill is in the score of {arm}"
                values = {"a": theirs if arm == "A" else "", "b": theirs if arm == "B" else ""}
                yield Flag(kind="external model", text=f"{text} (solver: {own})", **values)


def _model(config: Mapping[str, Any], decoder: str) -> str:
    """The model that the configuration names, for calls that never told theirs."""
    table = config.get("decoders", {}).get(decoder) or {}
    return str(table.get("model") or decoder)


def _uneven(task: str, tables: Tables) -> Iterator[Flag]:
    told: tuple[tuple[Outcome, str], ...] = (("infrastructure", "failed in the pipeline"), ("truncated", "were cut off"))
    for outcome, words in told:
        a, b = (_share(found[task], outcome) for found in tables)
        if abs(a - b) >= _UNEVEN:
            kind = "truncation" if outcome == "truncated" else "infrastructure"
            text = f"the share of samples that {words} on {task} is uneven"
            yield Flag.model_validate({"kind": kind, "text": text, "a": f"{100 * a:.1f} %", "b": f"{100 * b:.1f} %", "task": task})


def _share(table: TaskTable, outcome: Outcome) -> float:
    return float((table.column["outcome"] == OUTCOMES.index(outcome)).mean()) if table.samples else 0.0


def _incomplete(task: TaskComparison) -> Iterator[Flag]:
    if task.a.missing or task.b.missing:
        a, b = f"{task.a.missing:,} samples missing", f"{task.b.missing:,}"
        yield Flag(kind="incomplete", task=task.name, text=f"{task.name} is not complete", a=a, b=b)


def _repeats(task: TaskComparison) -> Iterator[Flag]:
    if task.a.repeats != task.b.repeats:
        text = f"different numbers of repeats on {task.name}"
        yield Flag(kind="repeats", task=task.name, text=text, a=str(task.a.repeats), b=str(task.b.repeats))


def _published(task: TaskComparison, manifests: Pair) -> Iterator[Flag]:
    """Scores that others have published and our interval does not hold."""
    card = next(run.card for run in manifests[0].tasks if run.name == task.name)
    for published in card.published:
        ends = [(side.accuracy.low, side.accuracy.high) for side in (task.a, task.b)]
        inside = [low is not None and high is not None and low <= published.score / 100 <= high for low, high in ends]
        if not all(inside):
            text = f"{task.name}: {published.system} has a published {published.score:g} ({published.source}); ours differ"
            a, b = (_mean(side.accuracy.value, low, high) for side, (low, high) in zip((task.a, task.b), ends, strict=True))
            yield Flag(kind="published", task=task.name, text=text, a=a, b=b)


def _mean(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None or low is None or high is None else f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _counting(manifests: Pair, tables: Tables) -> Iterator[Flag]:
    """What makes counts of tokens less than they seem."""
    purses = [[p for table in found.values() for p in table.spent.spending(0, 0).purses] for found in tables]
    cached = [sum(purse.cached for purse in side) for side in purses]
    if any(cached):
        text = "calls answered from a cache cost no tokens here, and would have"
        yield Flag(kind="counting", text=text, a=f"{cached[0]:,} calls", b=f"{cached[1]:,}")
    guessed = [any(purse.estimated for purse in side) for side in purses]
    if any(guessed):
        a, b = ("estimated" if guess else "counted" for guess in guessed)
        yield Flag(kind="counting", text="a back end did not report its tokens, so they were estimated from texts", a=a, b=b)
    if any(manifest.origin for manifest in manifests):
        a, b = (f"made from {m.origin}" if m.origin else "a real run" for m in manifests)
        yield Flag(kind="counting", text="not a run of its own, but made from another's samples", a=a, b=b)


def _grading(manifests: Pair, names: Sequence[str]) -> Iterator[Flag]:
    for name in names:
        cards = [next(run.card for run in manifest.tasks if run.name == name) for manifest in manifests]
        sides = [{"use": card.grader.use, **_plain(m.grading.get(name))} for card, m in zip(cards, manifests, strict=True)]
        for flag in changed(*sides):
            yield flag.model_copy(update={"kind": "grading", "text": f"{name} was graded differently: {flag.text}", "task": name})
        if cards[0].prompt != cards[1].prompt:
            yield Flag(kind="prompt", task=name, text=f"different prompts of {name}", a=cards[0].prompt, b=cards[1].prompt)


def _plain(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {} if value is None else {"options": value}


def _protocol(manifests: Pair) -> Iterator[Flag]:
    a, b = manifests
    if a.preset != b.preset:
        yield Flag(kind="preset", text="different protocols", a=a.preset or "none", b=b.preset or "none")
    elif _DEPARTED in a.preset:
        yield Flag(kind="preset", text="both depart from the protocol they name", a=a.preset, b=b.preset)
    if a.seed != b.seed:
        yield Flag(kind="seed", text="different seeds, so runs are paired by problem only", a=str(a.seed), b=str(b.seed))
    for what, ours, theirs in (("", a.software, b.software), ("plugin of ", a.plugins, b.plugins)):
        for name in sorted(ours.keys() & theirs.keys() if what else ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                values = {"a": ours.get(name, "unknown"), "b": theirs.get(name, "unknown")}
                yield Flag(kind="versions", text=f"different versions: {what}{name}", **values)
