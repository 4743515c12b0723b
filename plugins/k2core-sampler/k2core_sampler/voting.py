"""Votes: which candidates give the same answer, by a verifier's keys, and how much each of them counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from k2core.ports import Run
from k2core.types import Candidate, Completion, TokenLogprob, Verdict


@dataclass(frozen=True)
class Vote:
    """One candidate's voice."""

    candidate: Candidate
    key: str | None
    """Class of equivalent answers; None abstains."""
    answer: str | None = None
    """As the verifier extracted it."""
    weight: float = 1.0

    @property
    def source(self) -> str:
        """The model that wrote it, as far as the back end tells."""
        return self.candidate.completion.model if self.candidate.completion else ""


async def votes_of(run: Run, candidates: Sequence[Candidate], verifier: str) -> list[Vote]:
    """A vote for each candidate, in order, by the keys that the verifier gives them as one set.

    A candidate abstains without a key, and where the verifier calls it wrong, unparsed, or could not judge it.
    """
    verdicts = await run.verify(candidates, only=verifier)
    by_id = {verdict.candidate_id: verdict for verdict in verdicts}
    return [_vote(candidate, by_id[candidate.id]) for candidate in candidates]


def _vote(candidate: Candidate, verdict: Verdict) -> Vote:
    heard = verdict.status in ("correct", "undecided")
    return Vote(candidate, verdict.key if heard else None, verdict.answer)


def tally(votes: Iterable[Vote]) -> dict[str, float]:
    """The weight behind each key, in the order of its first vote."""
    counts: dict[str, float] = {}
    for vote in votes:
        if vote.key is not None:
            counts[vote.key] = counts.get(vote.key, 0.0) + vote.weight
    return counts


def scored(votes: Sequence[Vote], counted: Sequence[Vote] | None = None, winner: str | None = None) -> list[Candidate]:
    """The candidates with the share of their key's votes as score, and with their answer.

    Shares are of the votes in `counted`, by default all; the scores of other keys stay below that of `winner`, if one has been
    decided for. Without a single vote candidates have no score, so that the kernel decides by the verifiers alone.
    """
    counts = tally(votes if counted is None else counted)
    total = sum(counts.values())
    if not total:
        return [vote.candidate for vote in votes]
    shares = {key: count / total for key, count in counts.items()}
    if winner in shares:
        shares |= {key: min(share, shares[winner] * (1 - 1e-9)) for key, share in shares.items() if key != winner}
    return [_scored(vote, shares.get(vote.key, 0.0) if vote.key is not None else 0.0) for vote in votes]


def _scored(vote: Vote, score: float) -> Candidate:
    answer = vote.candidate.answer if vote.candidate.answer is not None else vote.answer
    return vote.candidate.model_copy(update={"score": min(1.0, score), "answer": answer})


def weighted(votes: Sequence[Vote], weights: Sequence[float | None]) -> list[Vote]:
    """The votes with these weights. Raises `ValueError` when a vote that counts has none."""
    if any(weight is None for vote, weight in zip(votes, weights, strict=True) if vote.key is not None):
        raise ValueError("some candidates have no weight")
    return [replace(vote, weight=max(0.0, weight or 0.0)) for vote, weight in zip(votes, weights, strict=True)]


def mean_probability(completion: Completion) -> float | None:
    """Geometric mean of the probabilities of the answer's tokens, 0..1; None where the back end reported none.

    It is the length-normalised likelihood that confidence-weighted self-consistency votes with (Taubenfeld et al. 2025).
    """
    tokens = answer_tokens(completion)
    return math.exp(sum(token.logprob for token in tokens) / len(tokens)) if tokens else None


def certainty(completion: Completion) -> float | None:
    """How peaked the distributions of the answer's tokens are: minus the mean log-probability of the reported alternatives.

    In nats, 0 and up; the form of self-certainty (Kang et al. 2025) that needs the likeliest tokens only. None where the back end
    reported no alternatives.
    """
    tops = [[logprob for _, logprob in token.top] for token in answer_tokens(completion)]
    peaks = [-sum(top) / len(top) for top in tops if top]
    return sum(peaks) / len(peaks) if peaks else None


def answer_tokens(completion: Completion) -> Sequence[TokenLogprob]:
    """The reported tokens without those of the reasoning: the last ones, until they are as long as the text."""
    logprobs = completion.logprobs or ()
    if not completion.reasoning:
        return logprobs
    length = 0
    for place in range(len(logprobs) - 1, -1, -1):
        length += len(logprobs[place].token)
        if length >= len(completion.text):
            return logprobs[place:]
    return logprobs
