"""The verdicts of one run: which verifiers are asked about which candidates, and what is remembered."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .choice import scores_of
from .concurrency import gather
from .pipeline import Pipeline
from .registry import Slot
from .types import Candidate, Verdict

Ask = Callable[[Slot, Sequence[Candidate], str | None], Awaitable[list[Verdict]]]


class Judging:
    """Asks the verifiers through `ask`, and each of them once about the same."""

    def __init__(self, pipeline: Pipeline, ask: Ask) -> None:
        self._pipeline, self._ask = pipeline, ask
        self._known: dict[tuple[Any, ...], Verdict] = {}
        self._last: dict[tuple[str, str], Verdict] = {}

    async def verdicts(
        self, candidates: Sequence[Candidate], reference: str | None, only: str | None = None, *, final: bool = False
    ) -> list[Verdict]:
        """Of all verifiers, or `only` one. With `final`, the sampler's scores stand for the verifiers that it consults."""
        slots = self._pipeline.verifiers if only is None else [self._pipeline.verifier(only)]
        first = [slot for slot in slots if slot.when == "always" or only is not None]
        if len(first) == 1:
            found = await self._of(first[0], candidates, reference, final)
        else:
            asked = await gather(self._of(slot, candidates, reference, final) for slot in first)
            found = list(itertools.chain.from_iterable(asked))
        for slot in slots[: 0 if only else None]:
            if slot.when == "undecided" and (still_open := _undecided(candidates, found)):
                clear = reference is None and self._best(candidates, found) >= slot.below
                found += [] if clear else await self._of(slot, still_open, reference, final)
        return found

    def _best(self, candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> float:
        return max(score or 0.0 for score in scores_of(candidates, verdicts, self._pipeline.verifiers).values())

    async def _of(self, slot: Slot, candidates: Sequence[Candidate], reference: str | None, final: bool) -> list[Verdict]:
        if final and slot.name in self._pipeline.consulted and all(c.score is not None for c in candidates):
            return [self._stand_in(slot, candidate) for candidate in candidates]
        return await self._with(slot, candidates, reference)

    def _stand_in(self, slot: Slot, candidate: Candidate) -> Verdict:
        """What the verifier last said of the candidate, with the score that the sampler has made of that."""
        said = self._last.get((slot.path, candidate.id))
        if said is None or said.status == "error":
            said = Verdict(candidate_id=candidate.id, status="undecided", verifier=slot.name)
        reason = f"{said.reason}; scored by the sampler" if said.reason else "scored by the sampler"
        return said.model_copy(update={"score": candidate.score, "reason": reason, "answer": candidate.answer or said.answer})

    async def _with(self, slot: Slot, candidates: Sequence[Candidate], reference: str | None) -> list[Verdict]:
        """Ask for what is not remembered. A verdict that depends on the whole set is remembered for that set only."""
        together = tuple(c.id for c in candidates) if slot.plugin.listwise else ()
        keys = {c.id: (slot.path, reference, c.id, c.text, together) for c in candidates}
        new = [c for c in candidates if keys[c.id] not in self._known]
        if new:
            for verdict in await self._ask(slot, new, reference):
                self._known[keys[verdict.candidate_id]] = verdict
        found = [self._known[keys[c.id]] for c in candidates]
        self._last |= {(slot.path, v.candidate_id): v for v in found}
        return found


def _undecided(candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> list[Candidate]:
    decided = {v.candidate_id for v in verdicts if v.status in ("correct", "incorrect")}
    return [candidate for candidate in candidates if candidate.id not in decided]
