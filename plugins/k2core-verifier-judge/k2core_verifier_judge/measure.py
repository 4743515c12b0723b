"""How good a judge is: asked about pairs of which the better one is known, in both orders."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from k2core import Problem, Runtime, Usage
from k2core.concurrency import gather

from .asking import AskingConfig, Judging
from .calibration import Calibration, JudgeCalibration, Measured
from .labelled import Pair, digest
from .pairwise import JudgeConfig
from .panel import PROMPT, Opinion, Panel
from .rating import PROMPT as RATING_PROMPT
from .rating import marks
from .statistics import above, isotonic, jeffreys, kappa, wilson

Tell = Callable[[int, int], None]
"""How many pairs are done, and of how many."""


@dataclass(slots=True)
class Judged:
    """One pair, and what the judges said. `right` is the text that stood first in the first order, or not."""

    pair: Pair
    right_first: bool
    opinions: Sequence[Opinion] = ()
    marks: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """By judge: of the right completion, and of the wrong one."""


@dataclass(slots=True)
class Outcome:
    """Everything that was measured."""

    judged: list[Judged]
    models: dict[str, str]
    usage: Usage


async def ask(runtime: Runtime, config: AskingConfig, pairs: Sequence[Pair], seed: int, tell: Tell) -> Outcome:
    """Put every pair before every judge, as many runs at a time as `concurrency` allows."""
    free, models, done = asyncio.Semaphore(config.concurrency), dict[str, str](), itertools.count(1)
    before = runtime.ledger.usage().get("judge", Usage())

    async def one(number: int, pair: Pair) -> Judged:
        async with free, runtime.open(Problem(prompt=pair.problem), seed=seed + number) as run:
            judging = Judging(run, config, "judge" if isinstance(config, JudgeConfig) else "rating")
            judged = await _compared(judging, config, run.problem, pair, bool(run.seed_for("first") % 2))
            models.update(judging.models)
            tell(next(done), len(pairs))
            return judged

    judged = await gather(one(number, pair) for number, pair in enumerate(pairs))
    return Outcome(judged, models, _since(before, runtime.ledger.usage().get("judge", Usage())))


def _since(before: Usage, after: Usage) -> Usage:
    names = set(Usage.model_fields) - {"estimated"}
    return Usage(estimated=after.estimated, **{name: getattr(after, name) - getattr(before, name) for name in names})


async def _compared(judging: Judging, config: AskingConfig, problem: Problem, pair: Pair, right_first: bool) -> Judged:
    if isinstance(config, JudgeConfig):
        panel = Panel(judging, config, problem, None, config.swap)
        texts = (pair.right, pair.wrong) if right_first else (pair.wrong, pair.right)
        return Judged(pair, right_first, await panel.opinions(*texts))
    right, wrong = await gather(marks(judging, config, problem, text) for text in (pair.right, pair.wrong))
    return Judged(pair, True, marks={judge: (right[judge], wrong[judge]) for judge in config.judges})


def share(right: float, n: int) -> dict[str, Any]:
    """A share for the report, with its Wilson interval."""
    low, high = wilson(right, n)
    return {"share": right / n if n else None, "low": low, "high": high, "n": n}


def measured(right: int, n: int) -> Measured:
    p, (low, high) = jeffreys(right, n)
    return Measured(right=right, n=n, p=p, low=low, high=high)


def pairwise(judge: str, judged: Sequence[Judged]) -> dict[str, Any]:
    """The figures of one judge that compares."""
    seen = [(one, opinion) for one in judged for opinion in one.opinions if opinion.judge == judge]
    signed = [(opinion, 1 if one.right_first else -1, one.pair) for one, opinion in seen]
    heard = [entry for entry in signed if entry[0].outcome != "void"]
    decided = [entry for entry in heard if entry[0].result]
    points = sum((opinion.result * side + 1) / 2 for opinion, side, _ in heard)
    replies = [reply for opinion, _, _ in signed for reply in opinion.replies]
    said = sum(answered for opinion, _, _ in signed for answered in opinion.answered)
    named = [(turn, sign, side, pair) for opinion, side, pair in signed for turn, sign in enumerate(opinion.signs) if sign]
    both = [opinion for opinion, _, _ in heard if len(opinion.signs) == 2 and all(opinion.signs)]
    lengths = [sign * side * pair.longer for _, sign, side, pair in named if pair.longer]
    return {
        "pairs": len(seen),
        "accuracy, ties one half": share(points, len(heard)),
        "decided": share(len(decided), len(heard)),
        "accuracy of decided": share(sum(opinion.result * side > 0 for opinion, side, _ in decided), len(decided)),
        "accuracy of single replies": share(sum(sign * side > 0 for _, sign, side, _ in named), len(named)),
        **{
            f"prefers the first place, order {order + 1}": _first(named, order)
            for order in sorted({turn for turn, _, _, _ in named})
        },
        "flips with the order": share(sum(opinion.outcome == "flip" for opinion in both), len(both)),
        "says tie": share(sum(reply == "tie" for reply in replies), said),
        "replies without a winner": share(said - sum(reply is not None for reply in replies), said),
        "failed calls": share(len(replies) - said, len(replies)),
        "prefers the longer": share(sum(sign > 0 for sign in lengths), len(lengths)),
        "right one is the longer": share(sum(p.longer > 0 for _, _, p in signed), sum(p.longer != 0 for _, _, p in signed)),
    }


def _first(named: Sequence[tuple[int, int, int, Pair]], order: int) -> dict[str, Any]:
    """How often the text in the first place is named; in the second order that is the second text."""
    signs = [sign * (-1) ** turn for turn, sign, _, _ in named if turn == order]
    return share(sum(sign > 0 for sign in signs), len(signs))


def outcomes(judge: str, judged: Sequence[Judged]) -> dict[str, Measured]:
    """By outcome: how often the favoured text was the right one; of a flip, which favours none, the one named first."""
    counts: dict[str, list[int]] = {}
    for one in judged:
        for opinion in one.opinions:
            favoured = opinion.signs[0] if opinion.outcome == "flip" else opinion.leaning
            if opinion.judge == judge and favoured:
                entry = counts.setdefault(opinion.outcome, [0, 0])
                entry[0] += favoured * (1 if one.right_first else -1) > 0
                entry[1] += 1
    return {outcome: measured(*counts[outcome]) for outcome in sorted(counts)}


def rating(judge: str, judged: Sequence[Judged]) -> dict[str, Any]:
    """The figures of one judge that rates."""
    both = [one.marks[judge] for one in judged]
    rights, wrongs = ([pair[side] for pair in both if isinstance(pair[side], float)] for side in (0, 1))
    rated = [(right, wrong) for right, wrong in both if isinstance(right, float) and isinstance(wrong, float)]
    points = sum((right > wrong) + (right == wrong) / 2 for right, wrong in rated)
    every = [mark for pair in both for mark in pair]
    lengths = [((right > wrong) - (right < wrong)) * longer for right, wrong, longer in _lengths(judge, judged)]
    return {
        "pairs": len(both),
        "accuracy, ties one half": share(points, len(rated)),
        "equal ratings": share(sum(right == wrong for right, wrong in rated), len(rated)),
        "mean rating of right ones": sum(rights) / len(rights) if rights else None,
        "mean rating of wrong ones": sum(wrongs) / len(wrongs) if wrongs else None,
        "right above wrong, over all": above(rights, wrongs),
        "replies without a rating": share(sum(isinstance(mark, str) for mark in every), sum(mark is not None for mark in every)),
        "failed calls": share(sum(mark is None for mark in every), len(every)),
        "prefers the longer": share(sum(sign > 0 for sign in lengths), len(lengths)),
    }


def _lengths(judge: str, judged: Sequence[Judged]) -> list[tuple[float, float, int]]:
    """Both ratings where they differ, and which completion is longer, if one is."""
    found = [(*one.marks[judge], one.pair.longer) for one in judged]
    rated = [(right, wrong, longer) for right, wrong, longer in found if isinstance(right, float) and isinstance(wrong, float)]
    return [entry for entry in rated if entry[0] != entry[1] and entry[2]]


def agreement(names: Sequence[str], judged: Sequence[Judged]) -> dict[str, float | None]:
    """Cohen's kappa for every two judges, over what both orders brought."""
    said = [{opinion.judge: opinion.result for opinion in one.opinions if opinion.outcome != "void"} for one in judged]
    return {
        f"{a} and {b}": kappa([(one[a], one[b]) for one in said if a in one and b in one])
        for a, b in itertools.combinations(names, 2)
    }


def figures(config: AskingConfig, outcome: Outcome) -> dict[str, Any]:
    """The report: by judge, between judges, and what it took."""
    measure = pairwise if isinstance(config, JudgeConfig) else rating
    usage = outcome.usage
    return {
        "judges": {judge: {"model": outcome.models.get(judge, ""), **measure(judge, outcome.judged)} for judge in config.judges},
        "agreement of judges (Cohen's kappa)": agreement(config.judges, outcome.judged),
        "spent on judging": {
            "calls": usage.started,
            "prompt tokens": usage.prompt_tokens,
            "completion tokens": usage.completion_tokens,
            "seconds": round(usage.seconds, 1),
        },
    }


def calibrated(config: AskingConfig, outcome: Outcome, pairs: Sequence[Pair], data_names: Sequence[str]) -> Calibration:
    """What the verifier needs of it."""
    compares = isinstance(config, JudgeConfig)
    judges = {}
    for judge in config.judges:
        figure = (pairwise if compares else rating)(judge, outcome.judged)["accuracy, ties one half"]
        n, p = figure["n"], figure["share"]
        accuracy = Measured(right=(p or 0.0) * n, n=n, p=0.5 if p is None else p, low=figure["low"], high=figure["high"])
        rated = [(mark, side == 0) for one in outcome.judged for side, mark in enumerate(one.marks.get(judge, ()))]
        judges[judge] = JudgeCalibration(
            model=outcome.models.get(judge, ""),
            accuracy=accuracy,
            outcomes=outcomes(judge, outcome.judged),
            ratings=isotonic([(mark, right) for mark, right in rated if isinstance(mark, float)]),
        )
    return Calibration(
        verifier="judge" if compares else "rating",
        prompt=PROMPT if compares else RATING_PROMPT,
        data=digest(pairs),
        data_names=data_names,
        n=len(pairs),
        swap=not isinstance(config, JudgeConfig) or config.swap,
        judges=judges,
    )
