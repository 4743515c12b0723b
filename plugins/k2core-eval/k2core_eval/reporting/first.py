"""The first screen: what was evaluated, by what, how well, how sure, at what cost, and what a sceptic would object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..comparing.records import Comparison
from ..statistics.records import Estimate
from . import accuracy as how_well
from .against import signed
from .arms import Arm
from .blocks import NONE, Cell, Row, Table, counted, listed, money, percent, whole, within
from .caveats import Caveat
from .charts import short

WORST = 6
"""Caveats on the first screen."""


@dataclass(frozen=True)
class First:
    what: Sequence[str]
    by_what: Sequence[str]
    how_sure: Sequence[str]
    table: Table
    doubts: Sequence[tuple[str, str]]
    caveats: int


def first(arms: Sequence[Arm], found: Sequence[Comparison | str], objections: Sequence[Caveat]) -> First:
    doubts = [(c.lead, c.facts if c.facts and not c.text.endswith(":") else c.sentence) for c in objections]
    brief = [(lead, _brief(text)) for lead, text in doubts[:WORST]]
    return First(_what(arms), _by_what(arms), _how_sure(arms, found), _table(arms, found), brief, len(objections))


def _brief(text: str, longest: int = 130) -> str:
    return text if len(text) <= longest else text[:longest].rsplit(" ", 1)[0].rstrip(";,") + " …"


def _what(arms: Sequence[Arm]) -> list[str]:
    runs = {run.name: run for arm in arms for run in arm.manifest.tasks}
    repeats = {run.repeats for arm in arms for run in arm.manifest.tasks}
    tasks = [f"{run.name} ({counted(run.problems, 'problem')})" for run in runs.values()]
    times = f"{counted(min(repeats), 'run')} of each" if len(repeats) == 1 else f"{min(repeats)} to {max(repeats)} runs of each"
    have, expected = sum(arm.have for arm in arms), sum(arm.expected for arm in arms)
    complete = "complete" if have == expected else f"{whole(expected - have)} of {whole(expected)} missing"
    presets = sorted({arm.manifest.preset for arm in arms if arm.manifest.preset})
    protocol = f"Protocol: {listed(presets)}." if presets else "No named protocol."
    return [f"{listed(tasks)}; {times}.", f"{counted(have, 'sample')}, {complete}. {protocol}"]


def _by_what(arms: Sequence[Arm]) -> list[str]:
    roles: dict[str, dict[str, None]] = {}
    for arm in arms:
        for purse in arm.summary.spent.purses:
            if purse.served:
                roles.setdefault(purse.model or f"unnamed ({purse.decoder})", {})[purse.role] = None
    return [f"{model}: {', '.join(used)}" for model, used in roles.items()] or ["No call was answered."]


def _how_sure(arms: Sequence[Arm], found: Sequence[Comparison | str]) -> list[str]:
    if found:
        return [f"{words}: {listed(names)}." for words, names in _verdicts(arms, found).items()]
    average = headline(arms[0])
    if average.low is None or average.high is None:
        return ["No interval can be given."]
    deviations = [f"± {percent(t.run_deviation)} on {t.name}" for t in arms[0].summary.tasks if t.run_deviation is not None]
    runs = [f"From run to run: {listed(deviations)}."] if deviations else []
    return [f"With 95 % confidence {percent(average.low)} to {percent(average.high)} % on problems like these.", *runs]


def _verdicts(arms: Sequence[Arm], found: Sequence[Comparison | str]) -> dict[str, list[str]]:
    """Names of the arms by what the comparison with the first says of them."""
    first, sorted_in = arms[0].name, dict[str, list[str]]()
    words = {
        "B is better": f"Better than {first} at equal tokens",
        "A is better": f"Worse than {first} at equal tokens",
        "no difference shown": f"No difference to {first} shown at equal tokens",
    }
    for arm, one in zip(arms[1:], found, strict=True):
        if isinstance(one, str):
            text = f"Not comparable with {first}"
        else:
            text = words[one.macro.verdict] if one.macro.equal else f"No verdict against {first}, as budgets are too far apart"
        sorted_in.setdefault(text, []).append(arm.name)
    return sorted_in


def headline(arm: Arm) -> Estimate:
    """The one figure: the macro-average, or the only task's accuracy."""
    return arm.summary.macro.accuracy if len(arm.summary.tasks) > 1 else arm.summary.tasks[0].accuracy


def _table(arms: Sequence[Arm], found: Sequence[Comparison | str]) -> Table:
    several = len(how_well.tasks_of(arms)) > 1
    verdicts: list[Comparison | str | None] = [None, *found]
    rows = [_row(arm, verdict, several, len(arms) > 1) for arm, verdict in zip(arms, verdicts, strict=True)]
    micro = ("#Micro %",) if several else ()
    name = "#Macro-average %" if several else "#Accuracy %"
    equal = (f"At equal tokens against {arms[0].name}",) if len(arms) > 1 else ()
    head = ("Arm", "~0|50|100 %", name, "#95 % interval", *micro, "#Tokens a sample", "#a right one", "#Cost", *equal)
    return Table("How well, how sure, at what cost", head, rows)


def _row(arm: Arm, found: Comparison | str | None, several: bool, verdict: bool) -> Row:
    estimate, spent = headline(arm), arm.summary.spent
    micro = [percent(arm.summary.micro.accuracy.value)] if several else []
    right = short(spent.per_correct) if spent.per_correct else NONE
    cost = money(spent.cost) if spent.cost else NONE
    last = [_verdict(found)] if verdict else []
    chart = how_well.dot(estimate, arm.number, arm.name)
    return [
        Cell(arm.name, series=arm.number),
        chart,
        percent(estimate.value),
        within(estimate),
        *micro,
        whole(spent.per_sample),
        right,
        cost,
        *last,
    ]


def _verdict(found: Comparison | str | None) -> str:
    if found is None:
        return "baseline"
    if isinstance(found, str) or found.macro.equal is None:
        return "not comparable" if isinstance(found, str) else "no verdict: unequal budgets"
    words = {"A is better": "worse", "B is better": "better"}.get(found.macro.verdict, "no difference shown")
    return f"{words}: {signed(found.macro.equal.difference)}"
