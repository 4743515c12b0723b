"""The hash of what a run decided and spent."""

from __future__ import annotations

import json

from k2core_hooks.digest import digest
from k2core_hooks.jsonl import from_line, to_line

from k2core.events import RunEnded
from k2core.types import Candidate, Plan, Result, Usage, Verdict

A, B = Candidate(id="0", text="a half"), Candidate(id="1", text="0.5 \udc80")
VERDICTS = (
    Verdict(candidate_id="0", status="correct", score=1 / 3, key="1/2", verifier="math"),
    Verdict(candidate_id="1", status="undecided", verifier="math"),
)
USAGE = {
    "solve": Usage(started=2, served=2, prompt_tokens=10, completion_tokens=7, seconds=1.5, cost=0.1),
    "plan": Usage(started=1, served=1, prompt_tokens=3, completion_tokens=2),
}
RESULT = Result(
    run_id="r1",
    problem_id="p",
    answer="1/2",
    candidate=A,
    plan=Plan(prompt="halve it"),
    candidates=(A, B),
    verdicts=VERDICTS,
    decision="candidate 0 has the highest score 0.33",
    usage=USAGE,
    seconds=2.0,
)


def test_it_stays_as_it_is() -> None:
    """Folders hold these hashes: another algorithm would make all of them differ."""
    assert digest(RESULT, USAGE) == "b25cee7fd37add0c8a3e8b941b3faa3f26fd8dcfb8299ef0ed1583535f613f8c"
    assert digest(None, {}, "no candidate was made") == "ee0fe9cb96fac1496aba1e3aeb86bfbbe7d403d63a59c04a2d4075c926379a1e"


def test_clocks_costs_ids_and_orders_are_no_part_of_it() -> None:
    later = RESULT.model_copy(update={"run_id": "r2", "seconds": 9.0, "verdicts": VERDICTS[::-1], "candidates": (B, A)})
    usage = {role: used.model_copy(update={"seconds": 0.0, "cost": 0.0}) for role, used in reversed(USAGE.items())}
    assert digest(later, usage) == digest(RESULT, USAGE)
    assert digest(RESULT, {**USAGE, "judge": Usage(seconds=1.0)}) == digest(RESULT, USAGE)


def test_scores_count_to_six_decimals() -> None:
    near, far = (
        RESULT.model_copy(update={"verdicts": (VERDICTS[0].model_copy(update={"score": 1 / 3 + step}), VERDICTS[1])})
        for step in (1e-9, 1e-5)
    )
    assert digest(near, USAGE) == digest(RESULT, USAGE)
    assert digest(far, USAGE) != digest(RESULT, USAGE)


def test_every_decision_and_count_is_a_part_of_it() -> None:
    changes = {
        "plan": None,
        "answer": "2/4",
        "candidate": B,
        "candidates": (A,),
        "verdicts": (VERDICTS[0].model_copy(update={"key": "2/4"}), VERDICTS[1]),
        "decision": "",
    }
    hashes = {digest(RESULT.model_copy(update={name: value}), USAGE) for name, value in changes.items()}
    usages = [
        {**USAGE, "plan": USAGE["plan"].model_copy(update={name: 99})}
        for name in ("cancelled", "failed", "cached", "prompt_tokens")
    ]
    hashes |= {digest(RESULT, usage) for usage in usages} | {
        digest(None, USAGE, "a"),
        digest(None, USAGE, "b"),
        digest(RESULT, USAGE),
    }
    assert len(hashes) == len(changes) + len(usages) + 3


def test_it_is_the_same_after_a_trace() -> None:
    """Lone surrogates become question marks there."""
    ended = from_line(json.loads(to_line(RunEnded(result=RESULT, usage=USAGE))))
    assert isinstance(ended, RunEnded)
    assert ended.result is not None
    assert ended.result.candidates[1].text == "0.5 ?"
    assert digest(ended.result, ended.usage) == digest(RESULT, USAGE)
