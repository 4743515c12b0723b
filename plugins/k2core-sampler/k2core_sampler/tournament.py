"""The plugin `tournament`: candidates meet two at a time before a verifier that compares, and the best wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from k2core.concurrency import gather
from k2core.plugin import Plugin, VerifierName, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Plan, Problem

from .deadline import before_hurry
from .drawing import Drawing
from .pairing import Pair, Table, bracket, most_rounds, rounds_for, swiss_round, tiers
from .samplers import BestOfNConfig, batch_sizes


class TournamentConfig(BestOfNConfig):
    """Options of `tournament`."""

    n: int = Field(default=8, ge=1)
    """How many candidates."""
    format: Literal["knockout", "swiss"] = "knockout"
    """`knockout` takes one game less than there are entrants; `swiss` plays `rounds`, and with many forgives wrong verdicts."""
    rounds: int = Field(default=0, ge=0)
    """Rounds of `swiss`; 0 takes the binary logarithm of the number of entrants."""
    verifier: VerifierName = "judge"
    """Name under `[verifiers]` of the one that compares two candidates: the higher score wins."""
    group_by: VerifierName = ""
    """A verifier whose keys tell equal answers: only one of them plays, for all. Empty: only equal texts are one entrant."""
    ties: Literal["seed", "replay"] = "seed"
    """What breaks a tie in `knockout`: the better seed, or first a second game in the other order."""


class Tournament(Plugin):
    """N candidates, and a tournament over a pairwise judge that decides among them."""

    config: TournamentConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        config, drawing = self.config, Drawing(run, problem, plan, self.config)
        await drawing.side_by_side(batch_sizes(config.n, config.batch), config.min_candidates)
        made = drawing.outcome(config.n)
        entrants = seeded(run, await _grouped(run, made, config.group_by))
        event = _Event(run, config, [group[0] for group in entrants])
        scores = placed(await event.held(), entrants)
        return [candidate.model_copy(update={"score": scores[candidate.id]}) for candidate in made]


async def _grouped(run: Run, made: Sequence[Candidate], verifier: str) -> list[list[Candidate]]:
    """Candidates with equal keys together; those without one by their text."""
    verdicts = await before_hurry(run, lambda: run.verify(made, only=verifier)) if verifier else None
    keys = {verdict.candidate_id: verdict.key for verdict in verdicts or () if verdict.status != "error"}
    groups: dict[tuple[bool, str], list[Candidate]] = {}
    for candidate in made:
        key = keys.get(candidate.id)
        groups.setdefault((key is not None, candidate.text.strip() if key is None else key), []).append(candidate)
    return list(groups.values())


def seeded(run: Run, groups: Sequence[list[Candidate]]) -> list[list[Candidate]]:
    """The answer that most candidates have first; among equals the run's seed decides."""
    return sorted(groups, key=lambda group: (-len(group), run.seed_for("seeding", group[0].id), group[0].id))


def placed(ranking: Sequence[Sequence[int]], entrants: Sequence[Sequence[Candidate]]) -> dict[str, float]:
    """Scores by candidate id: 1 for the winner, then the share of entrants that are not placed higher.

    `ranking` holds tiers of entrants, best first; the first of the first tier wins. What equals the winner comes right after it.
    """
    (winner, *level), *others = ranking
    scores: dict[str, float] = {}
    above = 0
    for tier in filter(None, ([winner], level, *others)):
        for entrant in tier:
            scores |= {candidate.id: 1 - above / len(entrants) for candidate in entrants[entrant]}
        above += len(tier)
    scores |= {candidate.id: 1 - 0.5 / len(entrants) for candidate in entrants[winner][1:]}
    return scores


@dataclass
class _Event:
    """The tournament itself."""

    run: Run
    config: TournamentConfig
    entrants: Sequence[Candidate]
    """By seed."""
    table: Table = field(init=False)
    out: dict[int, int] = field(default_factory=dict)
    """Who was knocked out, and in which round."""
    void: set[Pair] = field(default_factory=set)
    """Games that the verifier could not judge."""

    def __post_init__(self) -> None:
        self.table = Table(len(self.entrants))

    async def held(self) -> list[list[int]]:
        """The ranking in tiers, best first; by the games so far when the soft deadline has passed."""
        swiss = self.config.format == "swiss"
        await before_hurry(self.run, self._swiss if swiss else self._knockout)
        if self.void:
            self.run.warn("sampler", f"{len(self.void)} of {len(self.table.games)} games could not be judged and count as ties")
        return self.table.swiss_tiers() if swiss else tiers(len(self.entrants), self._knockout_key)

    def _knockout_key(self, entrant: int) -> tuple[float, ...]:
        """Who is still in comes first, then who went furthest."""
        if entrant in self.out:
            return 0, self.out[entrant]
        return 1, self.table.points(entrant)

    async def _swiss(self) -> None:
        entrants = len(self.entrants)
        for _ in range(min(self.config.rounds or rounds_for(entrants), most_rounds(entrants))):
            pairs, sitting_out = swiss_round(self.table)
            await gather(self._game(a, b) for a, b in pairs)
            for entrant, points in sitting_out.items():
                self.table.free[entrant] = self.table.free.get(entrant, 0.0) + points

    async def _knockout(self) -> None:
        await self._winner(bracket(len(self.entrants)))

    async def _winner(self, draw: Sequence[int | None]) -> int | None:
        """Of a part of the bracket. A game begins as soon as both of its sides are known."""
        if len(draw) == 1:
            return draw[0]
        half = len(draw) // 2
        a, b = await gather(self._winner(part) for part in (draw[:half], draw[half:]))
        if a is None or b is None:
            return b if a is None else a
        score = await self._game(a, b)
        if score == 0.5 and self.config.ties == "replay":
            score = await self._game(a, b, again=True)
        winner, loser = (a, b) if score > 0.5 or (score == 0.5 and a < b) else (b, a)
        self.out[loser] = rounds_for(len(draw))
        return winner

    async def _game(self, a: int, b: int, *, again: bool = False) -> float:
        """Points of `a`. Who comes first is drawn by lot: a judge's liking for a place must not help the better seed."""
        pair = [self.entrants[a], self.entrants[b]]
        turned = bool(self.run.seed_for("order", pair[0].id, pair[1].id) % 2) != again
        verdicts = await self.run.verify(pair[::-1] if turned else pair, only=self.config.verifier)
        scores = {verdict.candidate_id: verdict.score for verdict in verdicts if verdict.status != "error"}
        (self.void.add if len(scores) < 2 else self.void.discard)((a, b))
        mine, theirs = (scores.get(candidate.id) for candidate in pair)
        points = 0.5 if mine is None or theirs is None or mine == theirs else float(mine > theirs)
        self.table.games[a, b] = points
        return points
