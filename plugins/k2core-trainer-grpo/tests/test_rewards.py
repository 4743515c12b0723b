"""What is made of verdicts, texts and lengths, and which prompts come when."""

from __future__ import annotations

import re
from typing import Any

import pytest
from k2core_trainer_grpo.config import THINK_ANSWER, GrpoConfig
from k2core_trainer_grpo.prompts import Prompts
from k2core_trainer_grpo.rollouts import Prompting
from k2core_trainer_grpo.shaping import overlong_penalty, uniform
from k2core_training.ordering import seed_of
from pydantic import ValidationError

from k2core import Problem, Task, Verdict


def prompting(**verifiers: dict[str, Any]) -> Prompting:
    return Prompting.of({"sampler": {"use": "best-of-n", "n": 3, "system": "Think."}, "verifiers": verifiers})


def verdict(name: str, score: float) -> Verdict:
    return Verdict(candidate_id="0", status="correct", score=score, verifier=name)


def test_a_format_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ValidationError, match="no regular expression: missing"):
        GrpoConfig.model_validate({"reward": {"format": "("}})


def test_the_score_is_the_kernels() -> None:
    both = prompting(math={"weight": 3.0}, style={"weight": 1.0})
    assert both.score([verdict("math", 1.0), verdict("style", 0.0)]) == 0.75
    assert both.score([verdict("style", 0.5)]) == 0.5
    assert both.score([]) is None
    later = prompting(math={"weight": 1.0}, judge={"weight": 1.0, "when": "undecided"})
    assert later.score([verdict("math", 0.0), verdict("judge", 0.75)]) == 0.75
    assert later.sampling.system == "Think."


@pytest.mark.parametrize(("tokens", "penalty"), [(0, 0), (80, 0), (90, -0.5), (100, -1), (120, -1)])
def test_the_last_tokens_cost(tokens: int, penalty: float) -> None:
    assert overlong_penalty(tokens, 100, 20) == penalty
    assert overlong_penalty(tokens, 100, 20, 0.5) == penalty / 2
    assert overlong_penalty(tokens, 100, 0) == 0


def test_the_format() -> None:
    kept = re.compile(THINK_ANSWER, re.DOTALL)
    assert kept.fullmatch("<think>\n1 + 1\n</think>\n<answer>2</answer>\n")
    assert not kept.fullmatch("<answer>2</answer>")
    assert not kept.fullmatch("<think>1</think><answer>2</answer> and more")


def test_groups_that_teach_nothing() -> None:
    assert uniform([])
    assert uniform([0.5, 0.5 + 1e-9])
    assert not uniform([0.0, 1.0])


def test_prompts_come_in_passes_and_go_on_anywhere() -> None:
    tasks = [Task(problem=Problem(prompt=f"{n}?"), reference="1") for n in range(5)]
    whole = [task.problem.prompt for task in Prompts(tasks, 7).draw(15)]
    assert [sorted(whole[at : at + 5]) for at in (0, 5, 10)] == [sorted(task.problem.prompt for task in tasks)] * 3
    assert whole[:5] != whole[5:10]
    assert whole != [task.problem.prompt for task in Prompts(tasks, 8).draw(15)]
    first = Prompts(tasks, 7)
    first.draw(7)
    second = Prompts(tasks, 7)
    second.restore(first.state())
    assert [task.problem.prompt for task in second.draw(8)] == whole[7:]


def test_seeds() -> None:
    made = {seed_of(0, step, index) for step in range(50) for index in range(50)}
    assert len(made) == 2500
    assert all(0 <= seed < 2**31 for seed in made)
    assert seed_of(0, 1, 11) != seed_of(0, 11, 1)
