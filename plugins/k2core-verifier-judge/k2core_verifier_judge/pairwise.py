"""The pairwise judge: every comparison in both orders, so that a judge who prefers a place decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from k2core import Candidate, Plugin, Problem, Run, Verdict, hookimpl
from k2core.concurrency import gather

from .asking import AskingConfig, Judging
from .calibration import Calibration, load, probability
from .panel import PROMPT, Opinion, Panel, disagree
from .prompts import visible


class JudgeConfig(AskingConfig):
    """Options of `judge`."""

    pairs: Literal["all", "linear"] = "all"
    """`all` compares every two candidates, at once; `linear` each with the best so far, in N - 1 comparisons one after another."""
    swap: bool = True
    """Compare in both orders; a comparison that the order turns round is a tie."""
    panel: Literal["majority", "mean"] = "majority"
    """How several judges become one: the text that more of them name has won, or every judge has a share of the point."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the judges together say of two texts."""

    points: float | None
    """1 when the first text is better, 0 when the second is, one half for a tie; a probability when calibrated; None: no
    evidence."""
    flipped: bool = False
    """A judge preferred the same place in both orders."""
    disagreed: bool = False
    """Two judges named different texts."""

    def turned(self) -> Comparison:
        """From the side of the second text."""
        return Comparison(None if self.points is None else 1 - self.points, self.flipped, self.disagreed)


class Judge(Plugin):
    """Models compare candidates two by two, in both orders; the score is the share of comparisons won."""

    config: JudgeConfig
    listwise: ClassVar[bool] = True
    _calibration: Calibration | None = None

    @hookimpl
    async def k2_start(self) -> None:
        if self.config.calibration:
            self._calibration = load(self.config.calibration, "judge", self.config.judges)

    @hookimpl
    async def k2_verify(
        self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None
    ) -> Sequence[Verdict]:
        judging = Judging(run, self.config, "judge")
        panel = Panel(judging, self.config, problem, reference if self.config.show_reference else None, self.config.swap)
        match = _Match(judging, panel, self.config, self._calibration)
        texts = [visible(candidate.text) for candidate in candidates]
        table, champion = await (match.linear if self.config.pairs == "linear" else match.all)(texts)
        match.report()
        return [
            _verdict(candidate, table.get(place, []), None if champion is None else place == champion)
            for place, candidate in enumerate(candidates)
        ]


Table = dict[int, list[Comparison]]
"""By place of the candidate: its comparisons, seen from its side."""


class _Match:
    """Comparisons of one set of candidates. Judges are not asked twice about the same texts in a run, nor about equal ones."""

    def __init__(self, judging: Judging, panel: Panel, config: JudgeConfig, calibration: Calibration | None) -> None:
        self._judging, self._panel, self._config, self._calibration = judging, panel, config, calibration
        self.opinions: list[Opinion] = []

    async def all(self, texts: Sequence[str]) -> tuple[Table, int | None]:
        unique = list(dict.fromkeys(texts))
        pairs = [(one, other) for at, one in enumerate(unique) for other in unique[at + 1 :]]
        made = await gather(self._compare(*pair) for pair in pairs)
        done = dict(zip(pairs, made, strict=True))
        done |= {pair[::-1]: comparison.turned() for pair, comparison in done.items()}
        done |= {(text, text): Comparison(0.5) for text in unique}
        table = {place: [done[text, other] for at, other in enumerate(texts) if at != place] for place, text in enumerate(texts)}
        return table, None

    async def linear(self, texts: Sequence[str]) -> tuple[Table, int | None]:
        table: Table = {place: [] for place in range(len(texts))}
        best = 0
        for place in range(1, len(texts)):
            comparison = await self._compare(texts[best], texts[place])
            table[best].append(comparison)
            table[place].append(comparison.turned())
            best = place if comparison.points is not None and comparison.points < 0.5 else best
        return table, best

    async def _compare(self, one: str, other: str) -> Comparison:
        if one == other:
            return Comparison(0.5)
        opinions = await self._panel.opinions(one, other)
        self.opinions += opinions
        heard = [opinion for opinion in opinions if opinion.outcome != "void"]
        flipped = any(opinion.outcome == "flip" for opinion in heard)
        return Comparison(self._points(heard), flipped, disagree(heard))

    def _points(self, heard: Sequence[Opinion]) -> float | None:
        if not heard:
            return None
        if self._calibration is not None:
            judges = self._calibration.judges
            return sum(probability(opinion, judges[opinion.judge]) for opinion in heard) / len(heard)
        total = sum(opinion.result for opinion in heard)
        if self._config.panel == "majority":
            return float(total > 0) + 0.5 * (total == 0)
        return (total / len(heard) + 1) / 2

    def report(self) -> None:
        """Warn of what makes the scores less than they seem, once a run where it may be said again and again."""
        counts, judging = self._judging.counts, self._judging
        for name in ("compared", "flip"):
            counts[name] = counts.get(name, 0) + sum(name in ("compared", opinion.outcome) for opinion in self.opinions)
        if counts["compared"] >= 3 and 2 * counts["flip"] >= counts["compared"]:
            judging.warn_once("position bias: half of the comparisons or more flipped with the order, and count as ties")
        missing = sum(
            answered and name is None for one in self.opinions for answered, name in zip(one.answered, one.replies, strict=True)
        )
        if missing:
            judging.warn(f"{missing} replies of the judge named no winner; these comparisons are no evidence")
        if judging.skipped:
            judging.warn(f"{judging.skipped} calls to the judge were left out after the soft deadline")
        if self._calibration is not None and self.opinions:
            for warning in self._calibration.warnings(PROMPT, judging.models):
                judging.warn_once(warning)


def _verdict(candidate: Candidate, comparisons: Sequence[Comparison], champion: bool | None) -> Verdict:
    """Points of all comparisons that are evidence. In `linear` the last champion scores in the upper half and all others in the
    lower: shares of different opponents do not compare, and who was beaten late could otherwise equal the one that beat it."""
    if not comparisons:
        return Verdict(candidate_id=candidate.id, status="undecided", score=1.0, reason="the only candidate, not judged")
    points = [one.points for one in comparisons if one.points is not None]
    if not points:
        return Verdict(
            candidate_id=candidate.id, status="error", reason="no judge has compared it: calls failed, or named no winner"
        )
    share = sum(points) / len(points)
    score = share if champion is None else 0.5 * champion + share / 2
    return Verdict(candidate_id=candidate.id, status="undecided", score=score, reason=_reason(comparisons, points))


def _reason(comparisons: Sequence[Comparison], points: Sequence[float]) -> str:
    counts = [sum(p > 0.5 for p in points), sum(p == 0.5 for p in points), sum(p < 0.5 for p in points)]
    parts = [f"{counts[0]} won, {counts[1]} tied, {counts[2]} lost"]
    for what, number in (
        ("flipped with the order", sum(one.flipped for one in comparisons)),
        ("divided the judges", sum(one.disagreed for one in comparisons)),
        ("failed", len(comparisons) - len(points)),
    ):
        if number:
            parts.append(f"{number} of {len(comparisons)} {what}")
    return "; ".join(parts)
