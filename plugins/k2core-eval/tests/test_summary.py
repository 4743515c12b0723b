"""What the samples of an evaluation amount to."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from k2core_eval.records import Graded, Manifest, Sample, Spent
from k2core_eval.statistics.clocks import clocks
from k2core_eval.statistics.records import Summary
from k2core_eval.statistics.summary import summarise
from k2core_eval.statistics.text import number, render_text
from made import Arm, MadeTask, made_folder

from k2core.types import Usage

TASKS = (MadeTask("hard", 30, solved=0.3, dimension="skill"), MadeTask("easy", 20, solved=0.8, domain="logic", dimension="skill"))
FULL = Arm(TASKS, repeats=4, candidates=3, planner="planner-32b", judge="judge-7b", cancelled=0.1, infrastructure=0.03, grading="g")


def of(arm: Arm, drop: int = 0) -> Summary:
    samples = list(arm.samples())
    return summarise(arm.manifest(), samples[: len(samples) - drop])


def test_the_mean_is_over_problems_and_runs() -> None:
    samples = list(FULL.samples())
    found = summarise(FULL.manifest(), samples)
    hard = [sample for sample in samples if sample.task == "hard"]
    assert found.tasks[0].accuracy.value == pytest.approx(np.mean([s.outcome == "correct" for s in hard]))
    assert found.complete
    assert found.samples == 200
    assert sum(found.outcomes.values()) == 200
    assert found.tasks[0].curve[0].passed == pytest.approx(found.tasks[0].accuracy.value)
    assert found.tasks[0].curve[0].voted == pytest.approx(found.tasks[0].accuracy.value)


def test_the_order_of_samples_does_not_show() -> None:
    samples = list(FULL.samples())
    problems = [line for task in TASKS for line in task.referenced()]
    first = summarise(FULL.manifest(), samples, problems=problems)
    random.Random(1).shuffle(samples)
    assert summarise(FULL.manifest(), samples, problems=problems).model_dump_json() == first.model_dump_json()
    assert Summary.model_validate_json(first.model_dump_json()) == first


def test_macro_and_micro_show_their_weights() -> None:
    found = of(FULL)
    hard, easy = (task.accuracy.value or 0.0 for task in found.tasks)
    assert found.macro.accuracy.value == pytest.approx((hard + easy) / 2)
    assert found.micro.accuracy.value == pytest.approx((30 * hard + 20 * easy) / 50)
    assert found.micro.weights == pytest.approx({"hard": 0.6, "easy": 0.4})
    assert [group.name for group in found.domains] == ["math", "logic"]
    assert found.dimensions[0].accuracy.value == pytest.approx(found.macro.accuracy.value)


def test_levels_come_from_the_problems() -> None:
    problems = [line for task in TASKS for line in task.referenced()]
    found = summarise(FULL.manifest(), FULL.samples(), problems=problems)
    assert {group.name for group in found.levels} == {"easy", "middle", "hard"}
    assert sum(group.problems for group in found.levels) == 50


def test_tokens_of_every_role_are_counted_and_grading_is_apart() -> None:
    samples = list(FULL.samples())
    found = summarise(FULL.manifest(), samples)
    assert {purse.role for purse in found.spent.purses} == {"plan", "solve", "judge"}
    assert found.spent.tokens == sum(sample.tokens for sample in samples) == sum(purse.tokens for purse in found.spent.purses)
    assert sum(purse.share for purse in found.spent.purses) == pytest.approx(1)
    assert found.grading.tokens > 0
    assert {purse.role for purse in found.grading.purses} == {"verify"}
    assert found.spent.per_correct == pytest.approx(found.spent.tokens / found.outcomes["correct"])
    assert 0 < (found.spent.lost_calls or 0) < 0.1


def test_open_samples_count_as_wrong_and_what_else_they_could_be_is_told() -> None:
    arm = Arm((MadeTask("hard", 30, solved=0.5),), repeats=8, undecided=0.1, verifier_error=0.05, infrastructure=0.1)
    told = of(arm).tasks[0].sensitivity
    assert told.undecided > 30
    assert told.counted is not None
    assert told.left_out is not None
    assert told.at_best is not None
    assert told.counted < told.left_out < told.at_best


def test_the_choice_is_held_against_the_best_candidate() -> None:
    found = of(Arm((MadeTask("t", 40, solved=0.4),), repeats=4, candidates=5)).tasks[0]
    assert found.choosing is not None
    assert found.choosing.candidates == 5
    assert found.choosing.oracle > found.choosing.chosen == pytest.approx(found.accuracy.value)
    assert found.choosing.missed > 0
    assert of(Arm()).tasks[0].choosing is None


def test_an_unfinished_evaluation_says_so() -> None:
    found = of(FULL, drop=7)
    assert (found.complete, found.missing) == (False, 7)
    assert "INCOMPLETE: 7 samples missing" in render_text(found)
    assert found.tasks[0].accuracy.value is not None


@pytest.mark.parametrize("count", [0, 1])
def test_next_to_nothing_is_no_error(count: int) -> None:
    found = summarise(FULL.manifest(), list(FULL.samples())[:count])
    assert found.samples == count
    assert found.tasks[0].accuracy.value is None
    render_text(found)
    assert Summary.model_validate_json(found.model_dump_json()) == found


def test_a_sample_counts_once() -> None:
    samples = list(FULL.samples())
    found = summarise(FULL.manifest(), [*samples, samples[3]])
    assert found.duplicates == 1
    assert found.samples == 200


def test_samples_of_other_tasks_are_not_counted() -> None:
    stranger = next(Arm((MadeTask("other", 3),)).samples())
    assert summarise(FULL.manifest(), [stranger]).samples == 0


def sample(place: int, repeat: int, key: str | None, right: bool, score: float | None = None) -> Sample:
    outcome = "correct" if right else "incorrect"
    graded = Graded(id="c", text="t", tokens=10, outcome=outcome, key=key)  # type: ignore[arg-type] # one of the outcomes
    usage = Usage(started=1, served=1, prompt_tokens=5, completion_tokens=10)
    return Sample(
        task="made",
        place=place,
        repeat=repeat,
        problem_id=str(place),
        seed=place * 100 + repeat,
        outcome=graded.outcome,
        score=float(right) if score is None else score,
        chosen="c",
        key=key,
        candidates=(graded,),
        spent=(Spent(role="solve", decoder="solver", usage=usage),),
    )


def manifest(problems: int, repeats: int) -> Manifest:
    return Arm((MadeTask("made", problems),), repeats=repeats).manifest()


def test_votes_are_by_key() -> None:
    lines = [sample(0, repeat, key, key == "4") for repeat, key in enumerate(["4", "4", "5", "6"])]
    points = {point.k: point for point in summarise(manifest(1, 4), lines).tasks[0].curve}
    assert points[1].voted == 0.5
    assert points[4].voted == 1.0
    assert points[2].passed == pytest.approx(1 - 1 / 6)
    assert points[4].tokens == 60


def test_programs_have_no_vote() -> None:
    lines = [sample(0, repeat, None, repeat < 2) for repeat in range(4)]
    task = summarise(manifest(1, 4), lines).tasks[0]
    assert not task.votes
    assert [point.voted for point in task.curve] == pytest.approx([0.5, 0.5, 0.5])


def test_partial_scores_have_a_mean_of_their_own() -> None:
    lines = [sample(place, 0, "1", False, 0.5) for place in range(10)]
    task = summarise(manifest(10, 1), lines).tasks[0]
    assert task.score is not None
    assert (task.score.value, task.accuracy.value) == (0.5, 0.0)


def test_the_deviation_is_between_complete_runs() -> None:
    lines = [sample(place, repeat, "1", repeat == 0) for place in range(4) for repeat in range(2)]
    assert summarise(manifest(4, 2), lines).tasks[0].run_deviation == pytest.approx(np.std([1.0, 0.0], ddof=1))
    assert summarise(manifest(4, 2), lines[:-1]).tasks[0].run_deviation is None


def test_the_table_fits_a_terminal(tmp_path: Path) -> None:
    tasks = tuple(replace(task, name=task.name * 9) for task in TASKS)
    arm = replace(FULL, tasks=tasks, label="+ both", truncated=0.1)
    folder = made_folder(tmp_path, arm)
    text = render_text(summarise(folder.manifest(), folder.samples(), problems=folder.problems()), clocks(folder.times()))
    assert max(map(len, text.splitlines())) <= 80
    for words in ("+ both", "macro", "micro", "cut off", "planner-32b", "grading, apart", "seconds a sample"):
        assert words in text


def test_clocks() -> None:
    found = clocks(FULL.times())
    assert found.seconds.samples == 200
    assert 0 < (found.seconds.p50 or 0) < (found.seconds.p90 or 0) <= (found.seconds.longest or 0)
    assert clocks([]).seconds.samples == 0


def test_numbers_are_short() -> None:
    assert [number(x) for x in (None, 0, 7, 99.94, 1000, 12_345, 999_900, 3.2e9)] == [
        "-", "0", "7", "99.9", "1 k", "12.3 k", "1000 k", "3.2 G"]  # fmt: skip
