"""Two evaluations side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from k2core_eval.commands import compare as word
from k2core_eval.comparing.budget import at_votes, budget, paired
from k2core_eval.comparing.comparison import compare
from k2core_eval.comparing.records import Comparison, Flag
from k2core_eval.comparing.settings import changed
from k2core_eval.comparing.text import render
from k2core_eval.statistics.table import tables
from k2core_eval.store.folder import Folder
from made import Arm, MadeTask, made_folder

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import Published

ONE = (MadeTask("sums", 60, solved=0.5),)
BARE = Arm(ONE, repeats=8)
SMALL = Arm((MadeTask("sums", 6),), repeats=2)
Make = Callable[..., Comparison]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    def make(a: Arm, b: Arm, **options: object) -> Comparison:
        made_folder(tmp_path / "a", a)
        made_folder(tmp_path / "b", b)
        return compare(Folder(tmp_path / "a"), Folder(tmp_path / "b"), **options)  # type: ignore[arg-type] # options of compare

    return make


def kinds(found: Comparison) -> set[str]:
    return {flag.kind for flag in found.flags}


def test_a_folder_does_not_differ_from_itself(made: Make) -> None:
    found = made(BARE, BARE)
    assert found.verdict == "no difference shown"
    assert found.tasks[0].equal is not None
    assert found.tasks[0].equal.difference.value == 0
    assert not found.flags


def test_a_better_arm_is_better_either_way_round(made: Make) -> None:
    strong = replace(BARE, lift=1.5, seed=2)
    found = made(BARE, strong)
    assert found.verdict == found.tasks[0].verdict == "B is better"
    assert ((found.tasks[0].equal and found.tasks[0].equal.difference.low) or 0) > 0
    assert made(strong, BARE).verdict == "A is better"


def test_one_repeat_is_compared_by_mcnemar(made: Make) -> None:
    found = made(replace(BARE, repeats=1), replace(BARE, repeats=1, lift=3, seed=2), tolerance=0.5)
    assert found.tasks[0].equal is not None
    assert found.tasks[0].equal.test == "McNemar, exact"
    assert found.verdict == "B is better"


def test_three_times_the_tokens_of_the_same_are_not_better(made: Make) -> None:
    """The finding of K2 Think's critics: best-of-3 wins as it ran, and at equal tokens it does not."""
    three = replace(BARE, candidates=3, seed=2)
    found = made(replace(BARE, repeats=16), three)
    task = found.tasks[0]
    assert (task.unequal.difference.low or 0) > 0
    assert task.unequal.p < 0.01
    assert 2.8 < task.budget.votes_a < 3.2
    assert found.verdict == "no difference shown"
    assert "budget" in kinds(found)
    assert task.accuracy_a is not None
    assert task.accuracy_a > (task.a.accuracy.value or 0)


def test_too_few_repeats_for_equal_tokens_is_told_and_gives_no_verdict(made: Make) -> None:
    found = made(replace(BARE, repeats=2), replace(BARE, candidates=3, repeats=2, lift=2, seed=2))
    task = found.tasks[0]
    assert (task.unequal.difference.low or 0) > 0
    assert task.equal is None
    assert task.verdict == found.verdict == "no difference shown"
    assert task.budget.needed == int(np.ceil(task.budget.b / task.budget.a))
    assert f"k2 eval run sums --repeats {task.budget.needed}" in render(found)


def test_equal_tokens_can_be_left_alone_but_then_there_is_no_verdict(made: Make) -> None:
    found = made(BARE, replace(BARE, candidates=3, lift=2, seed=2), mode="off")
    assert found.tasks[0].equal is None
    assert found.verdict == "no difference shown"


def test_planner_and_judge_tokens_are_part_of_the_budget(made: Make) -> None:
    found = made(BARE, replace(BARE, candidates=3, planner="planner-32b", judge="judge-70b", seed=2))
    assert found.tasks[0].budget.b > 6 * found.tasks[0].budget.a
    external = [flag for flag in found.flags if flag.kind == "external model"]
    assert {flag.b for flag in external} == {"planner-32b", "judge-70b"}


def test_a_self_planner_is_not_external(made: Make) -> None:
    found = made(BARE, replace(BARE, planner="solver-1b", seed=2))
    assert "external model" not in kinds(found)


def test_votes_between_two_numbers_mix_them() -> None:
    curves = [np.array([0.5, 0.6, 0.8]), np.array([0.1, 0.2, 0.4])]
    assert at_votes(curves, np.array([9.0, 9.0]), 1.0) == pytest.approx([9.0, 9.0])
    assert at_votes(curves, np.zeros(2), 2.0) == pytest.approx([0.6, 0.2])
    assert at_votes(curves, np.zeros(2), 2.25) == pytest.approx([0.65, 0.25])


def test_tokens_at_the_votes_given_are_those_of_the_other_arm() -> None:
    a, b = replace(BARE, repeats=16), replace(BARE, candidates=5, seed=3)
    table_a, table_b = (tables(arm.manifest(), arm.samples())["sums"] for arm in (a, b))
    pair = paired(table_a, table_b)
    means = budget(pair, 0.02, "vote")
    assert means.votes_a * means.a == pytest.approx(means.votes_b * means.b)
    assert pair.tokens_a == pytest.approx(table_a.spent.tokens / table_a.samples)


def test_several_tasks_are_corrected_for(made: Make) -> None:
    tasks = (*ONE, MadeTask("more", 40, solved=0.3), MadeTask("few", 10))
    found = made(replace(BARE, tasks=tasks), replace(BARE, tasks=tasks, lift=0.4, seed=2))
    for task in found.tasks:
        assert task.equal is not None
        assert (task.p_adjusted or 0) >= task.equal.p
    assert found.macro.weights == pytest.approx({"sums": 1 / 3, "more": 1 / 3, "few": 1 / 3})
    assert found.micro.weights == pytest.approx({"sums": 60 / 110, "more": 40 / 110, "few": 10 / 110})


def test_only_the_same_problems_are_compared(made: Make) -> None:
    first, second = (*ONE, MadeTask("a only"), MadeTask("changed", 10)), (*ONE, MadeTask("b only"), MadeTask("changed", 12))
    found = made(replace(BARE, tasks=first), replace(BARE, tasks=second))
    assert [task.name for task in found.tasks] == ["sums"]
    assert set(found.skipped) == {"a only", "b only", "changed"}
    assert "not the same (10 and 12 problems)" in found.skipped["changed"]
    with pytest.raises(ConfigError, match="no task to compare"):
        made(Arm((MadeTask("x"),)), Arm((MadeTask("y"),)))


@pytest.mark.parametrize(
    ("config", "kind", "values"),
    [
        ({"sampler": {"temperature": 1.0}}, "sampling", ("0.6", "1.0")),
        ({"sampler": {"max_tokens": 64}}, "sampling", ("2048", "64")),
        ({"sampler": {"stop": ["</answer>"]}}, "sampling", ("none", '["</answer>"]')),
        ({"sampler": {"system": "Think hard."}}, "prompt", ("none", "Think hard.")),
        ({"sampler": {"examples": [{"problem": "p", "reply": "r"}]}}, "prompt", ("none", '[{"problem": "p", "reply": "r"}]')),
        ({"limits": {"timeout": 60.0}}, "limits", ("600.0", "60.0")),
        ({"retry": {"attempts": 1}}, "limits", ("4", "1")),
        ({"decoders": {"solver": {"use": "openai", "model": "solver-7b"}}}, "model", ("solver-1b", "solver-7b")),
        ({"decoders": {"solver": {"use": "openai", "model": "solver-1b", "reasoning_effort": "low"}}}, "effort", ("none", "low")),
        ({"sampler": {"n": 5}}, "setting", ("none", "5")),
    ],
)
def test_what_else_differs_is_flagged(made: Make, config: dict[str, object], kind: str, values: tuple[str, str]) -> None:
    found = [flag for flag in made(SMALL, replace(SMALL, config=config)).flags if flag.kind == kind]
    assert [(flag.a, flag.b) for flag in found] == [values]


def test_an_arm_without_a_planner_is_one_difference() -> None:
    found = changed({"planner": None}, {"planner": {"use": "think", "max_tokens": 5, "system": "x"}})
    assert found == [Flag(kind="setting", text="different settings: planner", a="none", b="think")]
    assert not changed({"hooks": {}, "x": None}, {})


def test_unfinished_uneven_and_unlike_runs_are_flagged(made: Make, tmp_path: Path) -> None:
    flaky = replace(BARE, infrastructure=0.1, truncated=0.2, seed=5, repeats=6)
    found = made(BARE, flaky)
    assert {"infrastructure", "truncation", "seed", "repeats"} <= kinds(found)
    samples = tmp_path / "b" / "samples.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:-3]))
    again = compare(Folder(tmp_path / "a"), Folder(tmp_path / "b"))
    assert [flag.b for flag in again.flags if flag.kind == "incomplete"] == ["3"]
    assert not again.b.complete


def test_other_graders_presets_and_versions_are_flagged(tmp_path: Path) -> None:
    made_folder(tmp_path / "a", SMALL)
    grading = {"sums": {"verifiers": {"math": {"use": "math", "timeout": 1.0}}}}
    changes = {"grading": grading, "preset": "k2-think", "software": {"k2core": "0.2.0"}, "origin": "rescored 1234"}
    made_folder(tmp_path / "b", SMALL, **changes)
    found = compare(Folder(tmp_path / "a"), Folder(tmp_path / "b"))
    assert {"grading", "preset", "versions", "counting"} <= kinds(found)
    assert ("10.0", "1.0") in {(flag.a, flag.b) for flag in found.flags if flag.kind == "grading"}


def test_departures_from_a_protocol_are_flagged(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made_folder(tmp_path / name, SMALL, preset="k2-think, but sampler.top_p = 1.0")
    found = compare(Folder(tmp_path / "a"), Folder(tmp_path / "b"))
    assert [flag.a for flag in found.flags if flag.kind == "preset"] == ["k2-think, but sampler.top_p = 1.0"]


def test_a_gap_to_a_published_score_is_flagged(made: Make) -> None:
    published = (
        Published(system="K2 Think", score=86.26, source="report"),
        Published(system="near", score=50, source="x"),
    )
    task = (replace(ONE[0], published=published),)
    found = [flag for flag in made(replace(BARE, tasks=task), replace(BARE, tasks=task)).flags if flag.kind == "published"]
    assert len(found) == 1
    assert "86.26" in found[0].text
    assert "[" in found[0].a


def test_programs_cannot_vote_so_unequal_budgets_stay_unequal(tmp_path: Path) -> None:
    arm = replace(BARE, unparsed=0.0, truncated=0.0)
    for name, one in (("a", arm), ("b", replace(arm, candidates=3, seed=2))):
        made_folder(tmp_path / name, one)
        file = tmp_path / name / "samples.jsonl"
        lines = [json.loads(line) | {"key": None} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = compare(Folder(tmp_path / "a"), Folder(tmp_path / "b")).tasks[0]
    assert task.equal is None
    assert "cannot vote" in task.reason


def test_uncounted_tokens_are_no_equal_budget(tmp_path: Path) -> None:
    for name, arm in (("a", BARE), ("b", replace(BARE, lift=2, seed=2))):
        made_folder(tmp_path / name, arm)
    file = tmp_path / "b" / "samples.jsonl"
    file.write_text("".join(json.dumps(json.loads(line) | {"spent": []}) + "\n" for line in file.read_text().splitlines()))
    task = compare(Folder(tmp_path / "a"), Folder(tmp_path / "b")).tasks[0]
    assert task.equal is None
    assert "does not count" in task.reason


def test_the_text_fits_a_terminal_and_says_what_matters(made: Make) -> None:
    tasks = (*ONE, replace(ONE[0], name="recorded:/a/rather/long/path/of/a/task/that_never_ends_at_all_it_seems.jsonl", solved=0.1))
    found = made(replace(BARE, tasks=tasks), replace(BARE, tasks=tasks, candidates=3, judge="judge-70b", seed=2))
    text = render(found)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("no difference shown", "Unequal as run", "majority vote", "judge-70b", "would have been missed", "macro"):
        assert words in " ".join(text.split())


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    word.add(parser.add_subparsers())
    return parser.parse_args(["compare", *map(str, words)])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_folder(tmp_path / "a", BARE)
    made_folder(tmp_path / "b", replace(BARE, lift=2, seed=2))
    args = arguments(tmp_path / "a", tmp_path / "b")
    assert args.run(args) == 0
    assert "B is better" in capsys.readouterr().out
    args = arguments(tmp_path / "a", tmp_path / "b", "--json", "--tolerance", "0.5")
    assert args.run(args) == 0
    assert Comparison.model_validate_json(capsys.readouterr().out).verdict == "B is better"


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    made_folder(tmp_path / "a", SMALL)
    args = arguments(tmp_path / "a", tmp_path / "nothing")
    with pytest.raises(ConfigError, match="holds no evaluation"):
        args.run(args)
    args = arguments(tmp_path / "a", tmp_path / "a", "--tolerance", "-1")
    with pytest.raises(ConfigError, match="share"):
        args.run(args)
