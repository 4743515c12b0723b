"""Verifiers, each wrong in one way."""

from collections import Counter
from collections.abc import Sequence

from k2core import Candidate, DecodeRequest, Message, Plugin, Run, Verdict, hookimpl


def judged(candidate: Candidate) -> Verdict:
    """What a good verifier does for each candidate."""
    return Verdict(candidate_id=candidate.id, status="undecided", score=0.5)


class UnknownCandidate(Plugin):
    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [*map(judged, candidates), Verdict(candidate_id="c77", status="correct", score=1.0)]


class ScoreOutOfRange(Plugin):
    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [Verdict(candidate_id=c.id, status="correct", score=7.5) for c in candidates]


class MissingVerdict(Plugin):
    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [judged(c) for c in candidates[:3]]


class NoVerdicts(Plugin):
    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return []


class RaisesWithoutAnswer(Plugin):
    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        if any("\\boxed" not in c.text for c in candidates):
            raise ValueError("a candidate has no answer")
        return [judged(c) for c in candidates]


class WrongRole(Plugin):
    @hookimpl
    async def k2_verify(self, run: Run, candidates: Sequence[Candidate]) -> list[Verdict]:
        await run.decode(DecodeRequest(messages=(Message(role="user", content="Which is best?"),)))
        return [judged(c) for c in candidates]


class CountsVotesPointwise(Plugin):
    listwise = False

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        votes = Counter(c.text for c in candidates)
        return [Verdict(candidate_id=c.id, status="undecided", score=votes[c.text] / len(candidates)) for c in candidates]
