"""The verifier `steps`: verdicts, scores, memory, and what people have labelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from k2core_verifier_process.examine import Progress, examine
from k2core_verifier_process.steps import Steps

from k2core import Candidate, Completion, PipelineConfig, Problem, Registry, Runtime, Verdict
from k2core.testing import FakeSampler, assert_conforms, fake_decoder

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "open"
RIGHT = "Step 1: 3 + 4 = 7 apples.\nStep 2: 7 * 2 = 14 apples.\nThe answer is \\boxed{14}."
WRONG = "Step 1: 3 + 4 = 7 apples.\nStep 2: 7 * 2 = 15 apples.\nStep 3: 15 + 1 = 16.\nThe answer is \\boxed{16}."


def verdicts(*turns: Sequence[Candidate], prompt: str = "How many?", **options: Any) -> list[Sequence[Verdict]]:
    """The verdicts of several calls within one run."""
    registry = Registry()
    registry.add("sampler", "fake", FakeSampler)
    registry.add("decoder", "fake", fake_decoder(lambda request, index: "x"))
    registry.add("verifier", "steps", Steps)
    config = PipelineConfig.from_dict(
        {"sampler": {"use": "fake"}, "decoders": {"solver": {"use": "fake"}}, "verifiers": {"steps": options}}
    )

    async def main() -> list[Sequence[Verdict]]:
        async with Runtime(config, registry=registry) as runtime, runtime.open(Problem(prompt=prompt), seed=1) as run:
            return [await run.verify(candidates) for candidates in turns]

    return asyncio.run(main())


def candidates(*texts: str, finish: Any = None) -> list[Candidate]:
    made = [None if finish is None else Completion(text=text, finish=finish) for text in texts]
    return [Candidate(id=f"c{n}", text=text, completion=made[n]) for n, text in enumerate(texts)]


def test_the_first_wrong_step_is_named() -> None:
    right, wrong = verdicts(candidates(RIGHT, WRONG))[0]
    assert (right.status, right.score) == ("undecided", 1.0)
    assert right.reason == "2 claims in 3 steps hold"
    assert (wrong.status, wrong.score) == ("incorrect", 0.0)
    assert wrong.reason == "step 2: 7 * 2 is 14, not 15"


@pytest.mark.parametrize(("combine", "score"), [("product", 0.0), ("min", 0.0), ("mean", 0.75)])
def test_how_steps_are_combined(combine: str, score: float) -> None:
    assert verdicts(candidates(WRONG), combine=combine)[0][0].score == score


def test_nothing_to_check_and_nothing_at_all() -> None:
    words, nothing = verdicts(candidates("It is so because it is so.", " \n"))[0]
    assert (words.status, words.score, words.reason) == ("undecided", 1.0, "0 claims in 1 steps hold")
    assert nothing.status == "unparsed"


def test_thinking_is_not_judged_where_there_is_more() -> None:
    text = "<think>Perhaps 3 + 4 = 8? Hm.\n3 + 4 = 9</think>\n3 + 4 = 7"
    assert verdicts(candidates(text))[0][0].status == "undecided"
    assert verdicts(candidates("<think>3 + 4 = 9\n</think>"))[0][0].status == "incorrect"


def test_a_number_that_may_go_on_is_left_open_until_it_has() -> None:
    cut, whole = "So 3 * 40 = 1", "So 3 * 40 = 120."
    assert verdicts(candidates(cut, finish="length"))[0][0].status == "undecided"
    assert verdicts(candidates(cut, finish="stop"))[0][0].status == "incorrect"
    assert verdicts(candidates(cut))[0][0].status == "incorrect"
    first, second = verdicts(candidates(cut, finish="length"), [Candidate(id="c1", text=whole)])
    assert (first[0].status, second[0].status) == ("undecided", "undecided")
    assert verdicts(candidates("So 3 * 40 = 121.", finish="length"))[0][0].status == "incorrect"


def test_what_was_read_before_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    after = Progress.after

    def counted(self: Progress, step: str) -> Any:
        read.append(step.strip())
        return after(self, step)

    monkeypatch.setattr(Progress, "after", counted)
    growing = ["Step 1: 10/3 = 3.3\n", "Step 2: 3.3 * 3 = 10\n", "Step 3: 10 + 1 = 11\n"]
    turns = [[Candidate(id=f"{n}", text="".join(growing[:n]))] for n in (1, 2, 3)]
    turns.append([Candidate(id="other", text=growing[0] + "Step 2: 3.3 * 3 = 11\n")])
    found = verdicts(*turns)
    assert [one[0].status for one in found] == ["undecided", "undecided", "undecided", "incorrect"]
    assert len(read) == 4
    assert read[:3] == [step.strip() for step in growing]


def test_what_is_taken_back_is_left_open() -> None:
    texts = [
        "3 + 4 = 8. Wait, that is not right: 3 + 4 = 7.",
        "So 3 + 4 = 8.\nLet me recheck: 3 + 4 = 7.",
        "3 + 4 = 8. Good.\nSo 8.",
    ]
    assert [one.status for one in verdicts(candidates(*texts))[0]] == ["undecided", "undecided", "incorrect"]


def test_the_problem_may_forbid_to_judge() -> None:
    text = candidates("5 + 4 = 10")
    assert verdicts(text)[0][0].status == "incorrect"
    assert verdicts(text, prompt="Compute 5 + 4 in base 9.")[0][0].status == "undecided"


def test_conforms() -> None:
    assert_conforms("verifier", Steps)


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def refuted(row: dict[str, Any]) -> bool:
    return any(claim.holds is False for _, found in examine("\n".join(row["steps"]), row["problem"]) for claim in found)


def test_people_call_wrong_what_is_called_incorrect() -> None:
    """Of solutions that people found clean, none is incorrect; of those with a wrong step in words and numbers, a fourth."""
    clean = [row for row in rows("process_mr_math.jsonl") if row["solution_correct"]]
    assert not any(map(refuted, clean))
    wrong = rows("process_mr_gsm8k_wrong.jsonl")
    assert sum(map(refuted, wrong)) > len(wrong) / 4
