"""Pure functions: whether a role's answer is well formed, and which candidate the verdicts choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .errors import PluginError
from .registry import Slot
from .types import Candidate, Completion, DecodeRequest, Verdict


class Choice(NamedTuple):
    """The decision over the candidates of a run."""

    candidate: Candidate
    answer: str
    scores: dict[str, float]
    why: str


def choose(candidates: Sequence[Candidate], verdicts: Sequence[Verdict], slots: Sequence[Slot]) -> Choice:
    """The candidate with the highest score that is not vetoed, the first of equals; a veto of all of them is none.

    A score is the weighted mean over the verifiers that could judge the candidate (a verdict of status `error` counts neither
    for nor against); where a verifier for the undecided was asked, the last that was decides alone.
    """
    by_name, scores = {slot.name: slot for slot in slots}, scores_of(candidates, verdicts, slots)
    vetoed = {v.candidate_id for v in verdicts if v.status == "incorrect" and by_name[v.verifier].veto}
    eligible = [c for c in candidates if c.id not in vetoed] or candidates
    best = max(eligible, key=lambda c: scores[c.id] or 0.0)
    known = {name: score for name, score in scores.items() if score is not None}
    why = _why(best, eligible, known, slots)
    if vetoed:
        why += f"; vetoed: {', '.join(c.id for c in candidates if c.id in vetoed)}"
    return Choice(best, _answer(best, verdicts, by_name), known, why)


def scores_of(candidates: Sequence[Candidate], verdicts: Sequence[Verdict], slots: Sequence[Slot]) -> dict[str, float | None]:
    """By candidate id; None where no verifier could judge."""
    by_name = {slot.name: slot for slot in slots}
    return {c.id: _score([v for v in verdicts if v.candidate_id == c.id], by_name) for c in candidates}


def _score(verdicts: Sequence[Verdict], slots: Mapping[str, Slot]) -> float | None:
    counted = [v for v in verdicts if v.status != "error"]
    later = [v for v in counted if slots[v.verifier].when == "undecided"]
    if later:
        return later[-1].score
    total = sum(slots[v.verifier].weight for v in counted)
    return sum(slots[v.verifier].weight * v.score for v in counted) / total if total else None


def _answer(candidate: Candidate, verdicts: Sequence[Verdict], slots: Mapping[str, Slot]) -> str:
    """As extracted by the weightiest verifier that found one, else as the sampler saw it, else the whole text."""
    found = [v for v in verdicts if v.candidate_id == candidate.id and v.answer is not None]
    if found:
        return str(max(found, key=lambda v: slots[v.verifier].weight).answer)
    return candidate.text if candidate.answer is None else candidate.answer


def _why(best: Candidate, eligible: Sequence[Candidate], scores: Mapping[str, float], slots: Sequence[Slot]) -> str:
    if len(eligible) == 1:
        return f"candidate {best.id} is the only one"
    if not slots:
        return f"no verifier is configured, so candidate {best.id} is taken as the first"
    if not scores:
        return f"no verifier could judge, so candidate {best.id} is taken as the first"
    top = scores.get(best.id, 0.0)
    rivals = [c.id for c in eligible if scores.get(c.id, 0.0) == top]
    if len(rivals) > 1:
        return f"candidates {', '.join(rivals)} share the highest score {top:.2f}; the first is taken"
    return f"candidate {best.id} has the highest score {top:.2f}"


def checked_candidates(made: Any, use: str) -> list[Candidate]:
    """At least one `Candidate`, with ids of their own. Raises `PluginError`."""
    if not isinstance(made, Sequence) or not all(isinstance(c, Candidate) for c in made):
        raise PluginError(f"k2_sample must return a sequence of Candidate, not {made!r:.80}", "sampler", use)
    if not made:
        raise PluginError("k2_sample returned no candidate; raise an error that says why", "sampler", use)
    if len({c.id for c in made}) < len(made):
        raise PluginError(f"k2_sample returned candidates with equal ids: {[c.id for c in made]}", "sampler", use)
    return list(made)


def checked_completions(made: Any, request: DecodeRequest, use: str) -> Sequence[Completion]:
    """Exactly `request.n` completions. Raises `PluginError`."""
    if not isinstance(made, Sequence) or not all(isinstance(c, Completion) for c in made):
        raise PluginError(f"k2_decode must return a sequence of Completion, not {made!r:.80}", "decoder", use)
    if len(made) != request.n:
        raise PluginError(f"k2_decode returned {len(made)} completions, {request.n} were requested", "decoder", use)
    return made


def checked_verdicts(made: Any, candidates: Sequence[Candidate], slot: Slot) -> list[Verdict]:
    """One verdict a candidate with a score in 0..1, in the candidates' order and signed by the verifier. Raises `PluginError`."""
    if not isinstance(made, Sequence) or not all(isinstance(v, Verdict) for v in made):
        raise PluginError(f"k2_verify must return a sequence of Verdict, not {made!r:.80}", "verifier", slot.use)
    by_id = {v.candidate_id: v for v in made}
    if len(by_id) < len(made) or set(by_id) != {c.id for c in candidates}:
        wanted, got = [c.id for c in candidates], [v.candidate_id for v in made]
        raise PluginError(f"k2_verify must return one verdict for each of {wanted}, not for {got}", "verifier", slot.use)
    if odd := next((v for v in made if not 0.0 <= v.score <= 1.0), None):
        raise PluginError(f"candidate {odd.candidate_id} has score {odd.score}, which is not in 0..1", "verifier", slot.use)
    return [by_id[c.id].model_copy(update={"verifier": slot.name}) for c in candidates]
