"""The samplers that search, on the embedded model: what the fakes cannot show is that a turn is really continued."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from k2core_models import KNOWN
from k2core_models.fetch import fetch

from k2core import PipelineConfig, Problem, Registry, Result, Runtime
from k2core.testing import FakeVerifier

PROBLEM = Problem(prompt="What is 12 + 5 + 20?", answer_format="text")
TALE = Problem(prompt="Write a story about a fox.", answer_format="text")
SUM = {"problem": "What is 21 + 13 + 40?", "reply": "21 + 13 = 34\n34 + 40 = 74\nAnswer: 74"}


@pytest.fixture(scope="module", autouse=True)
def _model() -> None:
    fetch(KNOWN["smollm2-135m-instruct"])


def solve(sampler: dict[str, Any], verifiers: dict[str, Any], problem: Problem = PROBLEM) -> Result:
    async def main() -> Result:
        registry = Registry()
        registry.add("verifier", "fake", FakeVerifier)
        async with Runtime(PipelineConfig.from_dict(tables), registry=registry) as runtime:
            result = await runtime.solve(problem, seed=1)
            usage = runtime.ledger.total
            assert usage.started == usage.served
            assert not usage.estimated
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    examples = [SUM] if problem is PROBLEM else []
    tables = {
        "sampler": {"instructions": False, "examples": examples, "max_tokens": 30, **sampler},
        "verifiers": verifiers,
        "decoders": {"solver": {"use": "llamacpp", "context": 1024, "threads": 1}},
    }
    return asyncio.run(main())


def test_greedy_steps_make_the_greedy_solution() -> None:
    """One beam, cut every six tokens and continued, writes what the model writes in one go."""
    options = {"temperature": 0.0, "max_tokens": 24}
    whole = solve({"use": "single", **options}, {}, TALE)
    stepwise = {"use": "beam", "width": 1, "expand": 1, "step_stop": "", "step_tokens": 6, "verifier": "steps", **options}
    steps = solve(stepwise, {"steps": {}}, TALE)
    assert steps.candidate.text == whole.candidate.text
    assert steps.candidate.completion is not None
    assert steps.candidate.completion.tokens == steps.usage["solve"].completion_tokens == 24
    assert steps.usage["solve"].started == 4


@pytest.mark.parametrize("search", [{"use": "beam", "width": 2, "expand": 2}, {"use": "particle", "n": 3, "ess": 1.0}])
def test_steps_with_a_separator(search: dict[str, Any]) -> None:
    result = solve({"verifier": "steps", "step_stop": "\n", "step_tokens": 20, "max_steps": 3, **search}, {"steps": {}})
    assert result.usage["solve"].started >= 2
    assert all(candidate.score is not None for candidate in result.candidates)
    assert all(candidate.completion is not None and candidate.completion.tokens <= 30 for candidate in result.candidates)
    assert sum(c.completion.tokens for c in result.candidates if c.completion) >= len(result.candidates)


def test_tournament_before_the_models_own_judge() -> None:
    judge = {"use": "judge", "decoder": "solver", "max_tokens": 16, "swap": False}
    result = solve({"use": "tournament", "n": 2, "temperature": 1.0, "max_tokens": 16}, {"judge": judge})
    assert sum(candidate.score == 1.0 for candidate in result.candidates) == 1
    assert result.candidate.score == 1.0
    assert result.usage["judge"].started == 1


def test_refine_asks_again() -> None:
    never = {"fake": {"use": "fake", "right": "no such thing"}}
    result = solve({"use": "refine", "rounds": 1, "max_tokens": 12}, never)
    assert [candidate.id for candidate in result.candidates] == ["0", "1"]
    assert {verdict.status for verdict in result.verdicts} == {"incorrect"}
    assert result.usage["solve"].started == 2
