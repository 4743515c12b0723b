"""What a verifier must return."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from ...types import Candidate, Status, Verdict
from ..loop import bounded
from ..report import Faults, check, where

if TYPE_CHECKING:
    from ..subject import Subject

STATUSES = get_args(Status)
NASTY = {
    "an empty text": "",
    "100 kB of text": "so x = 2, " * 10_000 + "\\boxed{2}",
    "control characters": "\x01\x07\x1b[31m \u202e \\boxed{4\x02}",
    "unbalanced braces": "\\boxed{\\frac{1}{2",
    "a huge power": "\\boxed{9^{9^{9^9}}}",
    "other scripts": "答案是 \\boxed{四} ٤ 🧮",
    "no answer": "I do not know.",
}


@check("verifier", gate=True)
def works_as_verifier(subject: Subject) -> Faults:
    """It returns one `Verdict` for each candidate and no other, with a score in 0..1: with a reference, without, for one alone."""
    from ..subject import candidates_for

    problem = subject.problems[0]
    many = candidates_for(problem)
    cases = {"": (many, None), " with a reference": (many, "7"), " of a single candidate": (many[:1], None)}
    cases[" of equal candidates"] = ([many[0], many[0].model_copy(update={"id": "c9"})], None)
    for name, (candidates, reference) in cases.items():
        verdicts = subject.play(lambda: _judge(subject, candidates, reference)).value()  # noqa: B023 # used before the next turn
        for fault in _faults(verdicts, candidates):
            yield f"asked for verdicts{name}, {fault}"


@check("verifier")
def survives_nasty_candidates(subject: Subject) -> Faults:
    """An empty text, 100 kB, control characters, a tower of powers: a verdict for each all the same, and in time."""
    candidates = [Candidate(id=f"c{place}", text=text) for place, text in enumerate(NASTY.values())]
    for reference in (None, "4"):
        verdicts = subject.play(lambda: _patiently(subject, candidates, reference)).value()  # noqa: B023 # used before the next turn
        if verdicts is None:
            yield f"it takes longer than {subject.limit / 2:.0f} s to judge {', '.join(NASTY)}; bound its work"
        else:
            yield from _faults(verdicts, candidates)


async def _judge(subject: Subject, candidates: Sequence[Candidate], reference: str | None) -> Any:
    problem = subject.problems[0]
    async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
        return await scene.verify(run, problem, candidates, reference)


async def _patiently(subject: Subject, candidates: Sequence[Candidate], reference: str | None) -> Any:
    task = await bounded(_judge(subject, candidates, reference), subject.limit / 2)
    if task is None:
        return None
    if error := task.exception():
        raise AssertionError(
            f"judging {', '.join(NASTY)} raises {type(error).__name__}: {error}{where(error)}; such a candidate is `unparsed`"
        )
    return task.result()


def _faults(verdicts: Any, candidates: Sequence[Candidate]) -> Faults:
    if not isinstance(verdicts, list | tuple) or not all(isinstance(v, Verdict) for v in verdicts):
        yield f"k2_verify must return a list of Verdict, not {verdicts!r:.80}"
        return
    wanted, got = [c.id for c in candidates], [v.candidate_id for v in verdicts]
    if missing := sorted(set(wanted) - set(got)):
        yield f"no verdict comes for {', '.join(missing)}; say status='unparsed' or 'undecided' where you cannot tell"
    if unknown := sorted(set(got) - set(wanted)):
        yield f"a verdict comes for {', '.join(unknown)}, which nobody asked about"
    if len(set(got)) < len(got):
        yield "a candidate gets more than one verdict; sum them up in one"
    for verdict in verdicts:
        if not (math.isfinite(verdict.score) and 0 <= verdict.score <= 1):
            yield f"the score of {verdict.candidate_id} is {verdict.score}; scale it to 0..1"
        if verdict.status not in STATUSES:
            yield f"the status of {verdict.candidate_id} is {verdict.status!r}; it is one of {', '.join(STATUSES)}"


@check("verifier")
def asks_as_verifier(subject: Subject) -> Faults:
    """Its model calls are booked under `verify` or `judge`, so that the ledger tells judging from solving."""

    async def main() -> set[str]:
        async with subject.scene() as scene:
            await scene.act(subject.problems[0])
            return {request.role for request in scene.script.requests}

    if wrong := subject.play(main).value() - {"verify", "judge"}:
        yield f"it asks the model with role={', '.join(sorted(wrong))}; set DecodeRequest(role='judge')"
