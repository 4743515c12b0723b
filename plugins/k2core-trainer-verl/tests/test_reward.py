"""The reward function grades with the pipeline's own verifiers, whatever it is handed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from k2core_trainer_verl import reward
from k2core_trainer_verl.grading import check_verifiers, grading_json, grading_tables
from k2core_trainer_verl.rows import PROBLEM, problem_json

from k2core import ConfigError, Problem, Runtime
from k2core.config import PipelineConfig

MATH = json.dumps({"verifiers": {"math": {"use": "math"}}})


def graded(
    text: str, reference: Any = "5", pipeline: str = MATH, info: dict[str, Any] | None = None, **more: Any
) -> dict[str, float]:
    async def main() -> dict[str, float]:
        try:
            return await reward.compute_score(more.pop("source", "math"), text, reference, info, pipeline=pipeline, **more)
        finally:
            await reward.close()

    return asyncio.run(main())


def of(problem: Problem) -> dict[str, Any]:
    return {PROBLEM: problem_json(problem), "index": 0, "num_turns": 2, "rollout_reward_scores": {}}


@pytest.mark.parametrize(
    ("text", "score", "mark"),
    [
        (r"<think>2 and 3</think> So \boxed{5}.", 1.0, "acc"),
        (r"\boxed{6}", 0.0, ""),
        ("No idea", 0.0, "unparsed"),
        (r"<think>maybe \boxed{5}", 0.0, "unparsed"),
    ],
)
def test_the_same_verdict_as_the_verifier_gives(text: str, score: float, mark: str) -> None:
    problem = Problem(prompt="What is 2 + 3?")
    made = graded(text, info=of(problem))
    assert made["score"] == score
    assert [name for name in ("acc", "unparsed", "undecided", "error") if made[name]] == ([mark] if mark else [])

    async def directly() -> float:
        async with Runtime(PipelineConfig.from_dict({"verifiers": {"math": {}}})) as runtime:
            [verdict] = await runtime.verify(problem, [reward.candidate_of(text, False)], "5")
            return verdict.score

    assert asyncio.run(directly()) == score


def test_rows_of_other_origin() -> None:
    """Guru's rows hold no problem of ours: the source tells the domain, the fields are what verifiers may look at."""
    problem = reward.problem_of("codegen__leetcode2k", {"question": "Add.", "split": "train", "n": 3})
    assert (problem.prompt, problem.domain, problem.answer_format) == ("Add.", "codegen", "code")
    assert problem.meta == {"question": "Add.", "split": "train", "n": 3, "data_source": "codegen__leetcode2k"}
    assert graded(r"\boxed{5}", source="math__deepscaler")["score"] == 1.0


@pytest.mark.parametrize(
    ("turns", "question"),
    [
        ([("system", "Be brief."), ("user", "1 + 1?"), ("assistant", "2"), ("user", "2 + 3?")], "2 + 3?"),
        ([("system", "Add 2 and 3."), ("assistant", "Gladly.")], "Add 2 and 3.\n\nGladly."),
    ],
)
def test_the_question_of_other_rows_is_what_was_asked(turns: list[tuple[str, str]], question: str) -> None:
    """Guru's rows of STEM have it nowhere else, and the verifier `stem` shows it to a model."""
    info = {"category": "Physics", reward.PROMPT: [{"role": role, "content": content} for role, content in turns]}
    problem = reward.problem_of("stem__web", info)
    assert (problem.prompt, problem.meta) == (question, {"category": "Physics", "data_source": "stem__web"})
    assert reward.problem_of("stem__web", {**info, "question": "Which?"}).prompt == "Which?"


def test_a_prompt_of_parts() -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
    assert reward.problem_of("x", {reward.PROMPT: [{"role": "user", "content": parts}]}).prompt == "What is this?"


def test_one_verifier_a_domain() -> None:
    pipeline = json.dumps({"verifiers": {"math": {"use": "math"}, "logic": {"use": "logic"}}})
    info = of(Problem(prompt="Order them.", domain="logic", answer_format="tag"))
    reference, text = '["crow", "owl"]', '<answer>["crow", "owl"]</answer>'
    assert graded(text, reference, pipeline, info, verifier={"logic": "logic"})["score"] == 1.0
    assert reward.grading_verifier({"table": "tabular"}, "general", "table__hitab") == "tabular"
    assert reward.grading_verifier({"table": "tabular"}, "math", "math__x") is None


def test_an_answer_that_was_cut_has_no_last_number() -> None:
    """As everywhere in k2core: what breaks off at its limit is not taken at its last word."""
    info = of(Problem(prompt="What is 2 + 3?"))
    assert graded("First 2, then 5", info=info)["acc"] == 1.0
    assert graded("First 2, then 5", info={**info, reward.TRUNCATED: True})["unparsed"] == 1.0


def test_references_that_are_no_text() -> None:
    import numpy as np

    pipeline = json.dumps({"verifiers": {"logic": {"use": "logic"}}})
    made = graded(
        '<answer>["crow", "owl"]</answer>', np.array(["crow", "owl"], dtype=object), pipeline, source="logic__ordering_puzzle"
    )
    assert made["score"] == 1.0


def test_what_cannot_be_graded_is_worth_nothing_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    errors = tmp_path / "errors.jsonl"
    made = graded(r"\boxed{5}", info={PROBLEM: "{broken"}, errors=str(errors))
    assert (made["score"], made["error"]) == (0.0, 1.0)
    assert "is worth 0" in caplog.text
    logic = json.dumps({"verifiers": {"logic": {"use": "logic"}}})
    made = graded("<answer>[1]</answer>", '{"header": ["a"], "rows": 3}', logic, errors=str(errors))  # a reference of no use
    assert (made["score"], made["error"]) == (0.0, 1.0)
    told = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [sorted(line) for line in told] == [["data_source", "why"]] * 2
    assert told[1]["why"].startswith("logic: ")


def test_a_verifier_that_hangs_costs_its_answer_only() -> None:
    made = graded(r"\boxed{5}", timeout=1e-9)
    assert (made["score"], made["error"]) == (0.0, 1.0)


def test_a_wrong_pipeline_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"verifiers.math.timeot"):
        graded("5", pipeline=json.dumps({"verifiers": {"math": {"use": "math", "timeot": 3}}}))


def test_answers_side_by_side() -> None:
    async def main() -> list[dict[str, float]]:
        asked = [reward.compute_score("math", rf"\boxed{{{n}}}", "5", None, pipeline=MATH) for n in range(10)]
        try:
            return await asyncio.gather(*asked)
        finally:
            await reward.close()

    assert [made["score"] for made in asyncio.run(main())] == [float(n == 5) for n in range(10)]


def test_the_grading_part_of_a_pipeline() -> None:
    whole = {
        "verifiers": {
            "math": {"use": "math", "weight": 1.0},
            "stem": {"use": "stem", "weight": 1.0, "when": "undecided", "decoder": "checker"},
        },
        "decoders": {
            "solver": {"use": "llamacpp"},
            "checker": {"use": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"},
        },
        "sampler": {"use": "best-of-n"},
        "trainer": {"use": "verl"},
    }
    found = grading_tables(whole)
    assert set(found) == {"verifiers", "decoders", "sampler"}
    assert list(found["decoders"]) == ["checker"], "the model that is trained is not started in every reward worker"
    Runtime(PipelineConfig.from_dict(json.loads(grading_json(whole))))
    with pytest.raises(ConfigError, match="no verifier"):
        grading_tables({"verifiers": {}})


def test_a_domain_s_verifier_must_be_there() -> None:
    """Else every answer of the domain would be worth 0."""
    whole = {"verifiers": {"math": {"use": "math"}, "logic": {"use": "logic"}}}
    check_verifiers({"math": "math", "puzzles": "logic"}, whole, "trainer")
    with pytest.raises(ConfigError) as caught:
        check_verifiers({"puzzles": "logic", "math": "mth"}, whole, "trainer")
    assert caught.value.path == "trainer.reward.verifier.math"
    assert "no verifier 'mth'; [verifiers] has math, logic" in str(caught.value)


def test_hydra_fills_nothing_in() -> None:
    checker = {"use": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "${oc.env:HOME}"}
    whole = {"verifiers": {"stem": {"use": "stem", "decoder": "checker"}}, "decoders": {"checker": checker}}
    text = grading_json(whole)
    assert "${" not in text
    assert json.loads(text)["decoders"]["checker"] == checker
