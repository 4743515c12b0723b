"""What the verifiers of this package have in common: find the answer, grade it against a reference, or count votes without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from k2core import Candidate, Verdict
from k2core.types import Status

from .finding import Found


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a grader thinks of one answer."""

    status: Status
    reason: str
    score: float = 0.0


def right(reason: str) -> Opinion:
    return Opinion("correct", reason, 1.0)


def wrong(reason: str, score: float = 0.0) -> Opinion:
    return Opinion("incorrect", reason, score)


def verdict(candidate: Candidate, found: Found, opinion: Opinion, key: str | None) -> Verdict:
    """The opinion as verdict. A text without marks can be right by being the answer, but not wrong: it may be no answer."""
    if opinion.status == "incorrect" and not found.sure:
        opinion = Opinion("unparsed", f"no mark around an answer, and as a whole it is not right: {opinion.reason}")
    return Verdict(
        candidate_id=candidate.id,
        status=opinion.status,
        score=opinion.score,
        key=key,
        answer=found.text,
        reason=f"{opinion.reason} (answer from {found.how})",
    )


def unparsed(candidate: Candidate, reason: str) -> Verdict:
    return Verdict(candidate_id=candidate.id, status="unparsed", reason=reason)


def votes(
    candidates: Sequence[Candidate],
    found: Sequence[Found | None],
    key: Callable[[Found], str],
    missing: Callable[[Candidate], str],
) -> list[Verdict]:
    """Without a reference: each candidate scores the share of all candidates that have its key."""
    keys = [None if one is None else key(one) for one in found]
    count = Counter(keys)
    return [
        unparsed(candidate, missing(candidate))
        if one is None or name is None
        else Verdict(
            candidate_id=candidate.id,
            status="undecided",
            score=count[name] / len(candidates),
            key=name,
            answer=one.text,
            reason=f"{count[name]} of {len(candidates)} candidates agree (answer from {one.how})",
        )
        for candidate, one, name in zip(candidates, found, keys, strict=True)
    ]
