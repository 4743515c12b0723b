"""The verifier `reasoning-gym`: a family's own verifier decides, if it has passed the soundness gate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from k2core import Candidate, Plugin, PluginConfig, Verdict, hookimpl
from k2core.concurrency import gather
from k2core.toolkit.processes import Broken

from ..equality import short
from ..finding import NAMES, Found, find, missing
from ..grading import Opinion, right, unparsed, verdict, votes, wrong
from ..wording import unlatex
from .client import Gate, Gym
from .items import ItemRef, parse

_FULL = 1.0 - 1e-9
_JUNK_PAYS = 0.1
"""Partial scores of a family that gives an empty or constant answer more than this say nothing."""
_LONGEST = 100_000


class ReasoningGymConfig(PluginConfig):
    partial: bool = False
    """Score a wrong answer by the family's partial credit; refused for families that give more than 0.1 to junk."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds that a family may take for one answer before its process is killed and the answer is undecided."""
    gate_timeout: float = Field(default=120.0, gt=0)
    """Seconds that the soundness gate may take for one family."""
    workers: int = Field(default=2, ge=1, le=64)
    """Most worker processes; they start when a reference first needs one."""
    memory_mb: int = Field(default=2048, ge=512)
    """Address space of a worker in megabytes."""
    strict: bool = False
    """Accept an answer only in `<answer>`, a box or a fenced block."""


class ReasoningGym(Plugin):
    """Grades answers to reasoning-gym's problems by the sound ones of its own verifiers; votes without a reference."""

    config: ReasoningGymConfig
    listwise: ClassVar[bool] = True

    def __init__(self, config: ReasoningGymConfig | None = None) -> None:
        super().__init__(config)
        self._gym = self._new_gym()

    def _new_gym(self) -> Gym:
        config = self.config
        return Gym(workers=config.workers, timeout=config.timeout, gate_timeout=config.gate_timeout, memory_mb=config.memory_mb)

    @hookimpl
    async def k2_stop(self) -> None:
        gym, self._gym = self._gym, self._new_gym()
        await asyncio.to_thread(gym.close)

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        found = [find(candidate, strict=self.config.strict) for candidate in candidates]
        if reference is None:
            return votes(candidates, found, lambda one: key(one.text), missing)
        answers = list(dict.fromkeys(one for one in found if one))
        opinions = dict(zip(answers, await self._opinions(answers, reference), strict=True))
        return [
            unparsed(candidate, missing(candidate)) if one is None else verdict(candidate, one, opinions[one], key(one.text))
            for candidate, one in zip(candidates, found, strict=True)
        ]

    async def _opinions(self, answers: Sequence[Found], reference: str) -> Sequence[Opinion]:
        try:
            ref = parse(reference)
        except ValueError as error:
            return [Opinion("error", str(error))] * len(answers)
        gate = self._gym.known(ref.family, ref.config)
        if gate is None:
            gate = await asyncio.to_thread(self._gym.gate, ref.family, ref.config)
        if fault := self._refusal(gate, ref):
            return [Opinion("error", fault)] * len(answers)
        return await gather(self._boxed(ref, answer) for answer in answers)

    async def _boxed(self, ref: ItemRef, answer: Found) -> Opinion:
        """A box is LaTeX, which some families ask for and others do not know: as it is, then without its text commands."""
        opinion = await self._opinion(ref, answer.text)
        bare = unlatex(answer.text).strip()
        if opinion.status != "incorrect" or answer.how != NAMES["box"] or bare == answer.text:
            return opinion
        return await self._opinion(ref, bare)

    def _refusal(self, gate: Gate, ref: ItemRef) -> str:
        if not gate.sound:
            return f"{ref.family} is refused as unsound: {gate.why}"
        if ref.entry is not None and not gate.entry:
            return f"an entry of {ref.family} does not survive JSON; refer to it by seed and index"
        if self.config.partial and gate.worst_junk > _JUNK_PAYS:
            return f"{ref.family} gives partial credit to junk (up to {gate.worst_junk:.2f}); set partial = false"
        return ""

    async def _opinion(self, ref: ItemRef, answer: str) -> Opinion:
        if len(answer) > _LONGEST:
            return wrong(f"longer than {_LONGEST} characters")
        try:
            reply = await self._gym.score({**ref.message(), "answer": answer})
        except Broken as error:
            return Opinion("undecided", f"{ref.family}'s verifier {error}")
        return self._decided(ref.family, reply)

    def _decided(self, family: str, reply: dict[str, Any]) -> Opinion:
        if "error" in reply:
            return Opinion("error", f"{family}: {reply['error']}")
        if reply.get("refused"):
            return Opinion("unparsed", f"{family}'s verifier would run this as code: {reply['refused'][0]!r:.60}")
        if "raised" in reply:
            return Opinion("undecided", f"{family}'s verifier raises {reply['raised']}")
        score = float(reply["score"])
        if score >= _FULL:
            return right(f"{family}'s verifier")
        return wrong(f"{family}'s verifier gives {score:g}", min(max(score, 0.0), 1.0) if self.config.partial else 0.0)


def key(answer: str) -> str:
    """What answers vote by: their text without case and spacing, as families differ in everything else."""
    return short(" ".join(unlatex(answer).split()).casefold())
