"""The sections on what it took and how samples ended: lengths, tokens by role and model, outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..records import Outcome
from ..statistics.records import Spending, Spread, TaskSummary
from .accuracy import task_of, tasks_of
from .arms import Arm
from .blocks import NONE, Block, Cell, Fold, Keys, Prose, Row, Section, Table, money, percent, whole
from .charts import bars, short, stacked, ticks
from .drilldown import MARKS

BINS = 40

NAMES: Mapping[Outcome, str] = {
    "correct": "correct",
    "incorrect": "wrong",
    "truncated": "truncated",
    "unparsed": "no answer found",
    "undecided": "undecided",
    "verifier_error": "verifier error",
    "infrastructure": "infrastructure",
}

ROLES = ("solve", "plan", "judge", "verify", "draft")


def outcomes(arms: Sequence[Arm]) -> Section:
    rows: list[Row] = []
    for name in tasks_of(arms):
        for arm in arms:
            task = task_of(arm, name)
            if task:
                rows.append(_endings(name, arm, task))
    kinds = [kind for kind in MARKS if any(arm.summary.outcomes.get(kind) for arm in arms)]
    head = ("Task", "Arm", "~share of samples|", *(f"#{NAMES[kind]}" for kind in MARKS), "#samples")
    keys = [(f"o-{kind}", NAMES[kind]) for kind in kinds]
    return Section(
        "outcomes",
        "How samples ended",
        [
            Prose(
                "Only “wrong” is a wrong answer. Everything but “correct” scores 0, and is told apart because it asks for other "
                "remedies: more tokens, a clearer answer format, a better grader, a server that stays up."
            ),
            Keys(keys),
            Table("Samples by outcome, and their share in percent.", head, rows),
            _sensitivity(arms),
        ],
    )


def _said(arm: Arm) -> str:
    return ", ".join(f"{count} {NAMES[kind]}" for kind, count in arm.summary.outcomes.items() if count)


def _endings(name: str, arm: Arm, task: TaskSummary) -> Row:
    counts = [(kind, task.outcomes.get(kind, 0)) for kind in MARKS]
    total = sum(count for _, count in counts) or 1
    label = f"{name}, {arm.name}: " + ", ".join(f"{count} {NAMES[kind]}" for kind, count in counts if count)
    chart = stacked([(f"o-{kind}", count) for kind, count in counts], label)
    cells = [f"{whole(count)} ({percent(count / total)})" if count else NONE for _, count in counts]
    return [name, Cell(arm.name, series=arm.number), Cell(label, chart), *cells, whole(task.samples)]


def _sensitivity(arms: Sequence[Arm]) -> Table:
    rows: list[Row] = []
    for name in tasks_of(arms):
        for arm in arms:
            task = task_of(arm, name)
            if task and task.sensitivity.undecided:
                s = task.sensitivity
                rows.append([name, arm.name, str(s.undecided), percent(s.counted), percent(s.left_out), percent(s.at_best)])
    head = ("Task", "Arm", "#Open samples", "#As counted %", "#Left out %", "#All taken as right %")
    return Table("What samples that nobody decided (undecided, verifier error, infrastructure) could change.", head, rows)


def lengths(arms: Sequence[Arm]) -> Section:
    """Tokens of the chosen candidates."""
    rows: list[Row] = []
    for name in tasks_of(arms):
        for arm in arms:
            task = task_of(arm, name)
            if task:
                spreads = [f for s in (task.lengths.every, task.lengths.right, task.lengths.wrong) for f in _spread(s)]
                rows.append([name, Cell(arm.name, series=arm.number), *spreads])
    head = ("Task", "Arm", "#mean", "#median", "#p90", "#right: mean", "#median", "#p90", "#not right: mean", "#median", "#p90")
    table = Table("Tokens of the chosen candidate, reasoning included.", head, rows)
    return Section("lengths", "Lengths of responses", [_histograms(arms), table])


def _spread(spread: Spread) -> list[str]:
    return [whole(value) for value in (spread.mean, spread.median, spread.p90)]


def _histograms(arms: Sequence[Arm]) -> Table:
    """Right beside not right, all with the same bins from 0 to the longest of all arms."""
    longest = max((light.length for arm in arms for light in arm.lights), default=0) or 1
    step = next(s for s in (ticks(0, longest, 8)[1] / 5 * n for n in (1, 2, 5, 10)) if longest / s < BINS + 1)
    count = math.floor(longest / step) + 1
    rows: list[Row] = []
    for arm in arms:
        cells, sizes = [], []
        for kind, name, right in (("o-correct", "right", True), ("o-incorrect", "not right", False)):
            lengths = [light.length for light in arm.lights if light.length and (light.outcome == "correct") == right]
            row = [0] * count
            for length in lengths:
                row[int(length // step)] += 1
            often = (
                f"most often {short(row.index(max(row)) * step)} to {short((row.index(max(row)) + 1) * step)} tokens"
                if lengths
                else "none"
            )
            label = f"{arm.name}, {name}: {often}"
            cells.append(Cell(label, bars(row, max(row) or 1, kind, label)))
            sizes.append(whole(len(lengths)))
        rows.append([Cell(arm.name, series=arm.number), *cells, *sizes])
    axis = f"|{short(count * step)}"
    head = ("Arm", f"~right, tokens: 0{axis}", f"~not right: 0{axis}", "#right", "#not right")
    return Table(f"How long responses are, in bars of {short(step)} tokens; each chart has its own height.", head, rows)


def spending(arms: Sequence[Arm]) -> Section:
    found = {purse.role for arm in arms for purse in arm.summary.spent.purses}
    roles = [role for role in (*ROLES, *sorted(found - set(ROLES))) if role in found]
    keys = [(_colour(role), role) for role in roles]
    rows = [row for arm in arms for row in _purses(arm, arm.summary.spent)]
    head = (
        "Role",
        "Model (decoder)",
        "#Calls",
        "#Cancelled",
        "#Failed",
        "#Cached",
        "#Prompt",
        "#Completion",
        "#Tokens",
        "#Share %",
        "#Cost",
    )
    blocks: list[Block | Fold] = [
        Keys(keys),
        _by_role(arms, roles),
        _totals(arms),
        Table("The pipeline's calls by role and model; cancelled and failed ones count with what they had spent.", head, rows),
    ]
    graders = [row for arm in arms for row in _purses(arm, arm.summary.grading)]
    if graders:
        blocks.append(Table("The grader's own calls: they are no part of any pipeline's budget.", head, graders))
    else:
        blocks.append(Prose("Grading asked no model, so it cost no tokens.", note=True))
    return Section("spending", "Where the tokens went", [*blocks, *clocks(arms)])


def _by_role(arms: Sequence[Arm], roles: Sequence[str]) -> Table:
    rows: list[Row] = []
    for arm in arms:
        spent = arm.summary.spent
        tokens = [sum(purse.tokens for purse in spent.purses if purse.role == role) for role in roles]
        label = f"{arm.name}: " + ", ".join(f"{role} {whole(count)}" for role, count in zip(roles, tokens, strict=True))
        chart = stacked([(_colour(role), count) for role, count in zip(roles, tokens, strict=True)], label)
        cells = [f"{whole(count)} ({percent(count / (spent.tokens or 1))} %)" if count else NONE for count in tokens]
        rows.append([Cell(arm.name, series=arm.number), Cell(label, chart), *cells])
    return Table("Tokens by role, prompts included.", ("Arm", "~share of tokens|", *(f"#{role}" for role in roles)), rows)


def _colour(role: str) -> str:
    return f"f{ROLES.index(role) if role in ROLES else len(ROLES)}"


def clocks(arms: Sequence[Arm]) -> list[Block]:
    rows: list[Row] = []
    for arm in arms:
        if arm.clocks:
            seconds, first = arm.clocks.seconds, arm.clocks.first_token
            cells = [_seconds(v) for v in (seconds.p50, seconds.p90, seconds.p99, seconds.longest, first.p50)]
            totals = [_seconds(v) for v in (seconds.total, arm.clocks.model.total, arm.clocks.grading.total)]
            rows.append([Cell(arm.name, series=arm.number), *cells, *totals])
    if not rows:
        return [Prose("No clocks were kept (times.jsonl is not there).", note=True)]
    head = ("Arm", "#median", "#p90", "#p99", "#longest", "#first token, median", "#all samples", "#in calls", "#grading")
    note = "Clocks depend on the machine, the server and how many samples ran side by side: compare them within one session only."
    return [
        Table("Seconds a sample, from its start to its result, retries included; then sums over samples.", head, rows),
        Prose(note, note=True),
    ]


def _seconds(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _purses(arm: Arm, spending: Spending) -> list[Row]:
    rows: list[Row] = [arm.name] if spending.purses else []
    for p in spending.purses:
        model = f"{p.model or 'not named by the back end'} ({p.decoder})"
        counts = [whole(n) for n in (p.started, p.cancelled, p.failed, p.cached, p.prompt_tokens, p.completion_tokens, p.tokens)]
        rows.append([p.role, Cell(model, flag="estimated" if p.estimated else ""), *counts, percent(p.share), money(p.cost)])
    return rows


def _totals(arms: Sequence[Arm]) -> Table:
    rows: list[Row] = []
    for arm in arms:
        spent = arm.summary.spent
        lost = NONE if spent.lost_calls is None else percent(spent.lost_calls)
        cells = [
            whole(spent.tokens),
            whole(spent.per_sample),
            whole(spent.per_correct),
            lost,
            money(spent.cost),
            money(arm.summary.grading.cost),
        ]
        rows.append([Cell(arm.name, series=arm.number), *cells])
    head = ("Arm", "#Tokens", "#a sample", "#a right sample", "#Calls lost %", "#Cost", "#Grading cost")
    return Table("Totals; cost in the currency of the configuration's prices, 0 where none are given.", head, rows)
