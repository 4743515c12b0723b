"""Reports: what they say, in all three forms, and that hostile content stays text."""

import argparse
import json
import re

import pytest
from hostile_report import Tags, hostile_folder
from k2core_eval.commands import report as command
from k2core_eval.contamination.report import FoundProblem, Report, TaskCount, Training
from k2core_eval.records import Sample
from k2core_eval.reporting import write_reports
from k2core_eval.reporting.arms import read_arms
from k2core_eval.reporting.caveats import caveats
from made import Arm, MadeTask, made_folder, write_folder

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import Published

CLAIM = Published(system="Peer", score=61.5, source="its paper")
TASKS = (MadeTask("easy", 12, solved=0.8, published=(CLAIM,)), MadeTask("hard", 8, solved=0.3))


def written(folders, out, **options):
    return {path.suffix: path.read_text(encoding="utf-8") for path in write_reports(folders, out, **options)}


def leads(*folders):
    return {caveat.lead: caveat for caveat in caveats(read_arms([folder.path for folder in folders]))}


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    base = tmp_path_factory.mktemp("arms")
    bare = made_folder(base / "one", Arm(TASKS, label="bare"))
    both = made_folder(
        base / "two", Arm(TASKS, label="+ both", planner="planner-32b", candidates=3, judge="judge-70b", lift=1, seed=2)
    )
    return bare, both


# what it says


def test_the_figures_are_those_of_the_summary(arms, tmp_path):
    texts = written([folder.path for folder in arms], tmp_path)
    data = json.loads(texts[".json"])
    assert [arm["name"] for arm in data["arms"]] == ["bare", "+ both"]
    for arm in data["arms"]:
        for task in arm["summary"]["tasks"]:
            value = f"{100 * task['accuracy']['value']:.1f}"
            assert f"| {value} |" in texts[".md"]
            assert f">{value}</td>" in texts[".html"]
    assert data["comparisons"][0]["macro"]["verdict"] in texts[".md"]
    assert {caveat["lead"] for caveat in data["caveats"]} >= {
        "A second model helps.",
        "Contamination not checked.",
        "Few problems.",
    }


def test_the_bare_arm_comes_first_whatever_the_order(arms):
    assert [arm.name for arm in read_arms([arms[1].path, arms[0].path])] == ["bare", "+ both"]


def test_the_same_folders_give_the_same_bytes(arms, tmp_path):
    paths = [folder.path for folder in arms]
    assert written(paths, tmp_path / "a") == written(paths, tmp_path / "b")


def test_one_evaluation_alone_has_no_comparison(arms, tmp_path):
    texts = written([arms[0].path], tmp_path)
    assert json.loads(texts[".json"])["comparisons"] == []
    assert "Arms side by side" not in texts[".html"]


def test_two_arms_of_one_name_are_told_apart(arms, tmp_path):
    twin = made_folder(tmp_path / "twin", Arm(TASKS, label="bare", seed=5))
    assert [arm.name for arm in read_arms([arms[0].path, twin.path])] == ["bare (one)", "bare (twin)"]


def test_a_published_score_is_shown_with_its_gap(arms, tmp_path):
    texts = written([arms[0].path], tmp_path)
    here = json.loads(texts[".json"])["arms"][0]["summary"]["tasks"][0]["accuracy"]["value"]
    assert f"| {100 * here - 61.5:+.1f} |".replace("-", "\N{MINUS SIGN}") in texts[".md"]


def test_contamination_that_nobody_looked_for_is_said_to_be_unknown(arms, tmp_path):
    texts = written([arms[0].path], tmp_path)
    assert "Not checked: nobody compared these problems" in texts[".html"]


def test_the_found_part_is_scored_apart(tmp_path):
    folder = made_folder(tmp_path / "run", Arm((MadeTask("easy", 12, solved=0.8),)))
    found = tuple(
        FoundProblem(task="easy", place=place, id=f"easy-{place:03}", kind="exact", rows=1, matches=()) for place in (0, 1, 2)
    )
    count = TaskCount(task="easy", problems=12, found=3, exact=3)
    searched = Report(tasks=(count,), found=found, training=Training(files=1, rows=500))
    folder.file("contamination.json").write_text(searched.model_dump_json())
    rows = {}
    for sample in folder.samples():
        rows.setdefault(sample.place in (0, 1, 2), []).append(sample.outcome == "correct")
    text = written([folder.path], tmp_path)[".md"]
    for part, size in ((False, 9), (True, 3)):
        assert re.search(rf"\| {100 * sum(rows[part]) / len(rows[part]):.1f} \\\[[^|]*\({size}\) \|", text)
    assert "Searched: 500 rows of training data in 1 file." in text
    assert "Seen in training." in leads(folder)
    assert "Contamination not checked." not in leads(folder)


CAVEATS = {
    "Truncated.": ({"truncated": 0.2}, {"truncated": 0.0}),
    "Unread answers.": ({"unparsed": 0.2}, {"unparsed": 0.0}),
    "Undecided.": ({"undecided": 0.2}, {"undecided": 0.0, "verifier_error": 0.0}),
    "A second model helps.": ({"planner": "other-32b"}, {"planner": "solver-1b"}),
    "Best of several.": ({"candidates": 3}, {"candidates": 1}),
    "A model is the grader.": ({"grading": "judge-70b"}, {"grading": ""}),
    "Few repeats.": ({"repeats": 1}, {"repeats": 8}),
    "Lost calls.": ({"candidates": 4, "cancelled": 0.4}, {"cancelled": 0.0}),
    "Few problems.": ({}, {"tasks": (MadeTask("large", 120, solved=0.5),), "repeats": 1}),
    "One task dominates.": ({"tasks": (MadeTask("a", 5), MadeTask("b", 30))}, {"tasks": (MadeTask("a", 8), MadeTask("b", 8))}),
}


@pytest.mark.parametrize("lead", CAVEATS)
def test_a_caveat_is_there_when_its_fact_is_and_only_then(lead, tmp_path):
    yes, no = CAVEATS[lead]
    assert lead in leads(made_folder(tmp_path / "yes", Arm(**yes)))
    assert lead not in leads(made_folder(tmp_path / "no", Arm(**no)))


def test_missing_samples_and_interruptions_are_told(tmp_path):
    folder = made_folder(tmp_path / "run", Arm())
    lines = folder.file("samples.jsonl").read_bytes().splitlines(keepends=True)
    folder.file("samples.jsonl").write_bytes(b"".join(lines[:-7]))
    usage = {"role": "solve", "decoder": "solver", "usage": {"prompt_tokens": 100, "completion_tokens": 23}}
    attempts = [
        {"kind": "session", "interrupted": 0},
        {"kind": "failed", "task": "made", "place": 0, "repeat": 0, "spent": [usage]},
        {"kind": "session", "interrupted": 3},
    ]
    folder.file("attempts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in attempts) + '{"kind": "sess')
    found = leads(folder)
    assert found["Incomplete."].facts == "113 of 120 samples are there."
    assert found["Interrupted runs."].facts == "3 runs."
    assert found["Repeated runs."].facts == "1 run with 123 tokens."


def test_departures_from_the_protocol_come_first(tmp_path):
    folder = made_folder(tmp_path / "run", Arm(), preset="k2-think, but repeats = 4")
    text = written([folder.path], tmp_path)[".md"]
    assert "Departs from its protocol." in text
    assert "k2-think, but repeats = 4" in text
    assert "--preset k2-think --repeats 4" in text


# what it does not say


def test_texts_that_may_not_be_published_are_in_none_of_the_files(tmp_path):
    task = MadeTask("closed", 6, publish=False)
    texts = written([made_folder(tmp_path / "run", Arm((task,), planner="p")).path], tmp_path)
    for reference in task.referenced():
        for secret in (reference.problem.prompt, f"\\boxed{{{reference.reference}}}", "Adding up gives", "Add the units"):
            assert not any(secret in text for text in texts.values())
    assert "closed-003" in texts[".html"]
    assert "Texts left out." in texts[".md"]


def test_only_so_many_problems_are_shown_with_texts(arms, tmp_path):
    text = written([arms[0].path], tmp_path, details=3)[".html"]
    assert text.count('<details class="problem"') == 20
    assert text.count(">Reference</p>") == 3
    assert "3 of 20 problems are shown with their samples" in text
    assert ">Reference</p>" not in written([arms[0].path], tmp_path, details=0)[".html"]


def test_hostile_texts_make_no_element_of_a_page(tmp_path):
    texts = written([hostile_folder(tmp_path / "run").path], tmp_path)
    tags = Tags(texts[".html"])
    assert tags.found.count("script") == 1
    assert not {"img", "iframe", "object", "link", "base"} & set(tags.found)
    assert not any(name.startswith("on") for name, _ in tags.attributes)
    assert all(value.startswith("#") for name, value in tags.attributes if name in ("href", "src"))
    assert "\0" not in texts[".html"]
    assert "\u202e" not in texts[".html"]
    assert "49" not in re.findall(r"\]\]&gt; (.{0,6})", texts[".html"])


def test_hostile_texts_are_only_text_in_markdown_too(tmp_path):
    text = written([hostile_folder(tmp_path / "run").path], tmp_path)[".md"]
    outside = re.sub(r"(?ms)^(`{3,})$.*?^\1$", "", text)
    assert not re.search(r"(?<!\\)<(script|img|svg|math)", outside)
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert not re.search(r"(?<!\\)@everyone", outside)
    assert "\u202e" not in text


# errors


def test_a_folder_without_an_evaluation_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no evaluation"):
        write_reports([tmp_path], tmp_path)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one"):
        write_reports([], tmp_path)


def test_an_evaluation_without_samples_is_refused(tmp_path):
    folder = write_folder(tmp_path / "run", Arm().manifest(), [])
    with pytest.raises(ConfigError, match="no finished sample"):
        write_reports([folder.path], tmp_path)


def test_a_damaged_contamination_file_is_named(tmp_path):
    folder = made_folder(tmp_path / "run", Arm())
    folder.file("contamination.json").write_text("{")
    with pytest.raises(ConfigError, match=r"contamination\.json cannot be read"):
        write_reports([folder.path], tmp_path)


def test_samples_without_any_result_make_a_report(tmp_path):
    made = made_folder(tmp_path / "run", Arm((MadeTask("made", 3),), infrastructure=1.0))
    assert "Undecided." in written([made.path], tmp_path)[".md"]


def test_problems_that_are_not_there_are_no_obstacle(tmp_path):
    folder = made_folder(tmp_path / "run", Arm())
    folder.file("problems.jsonl").unlink()
    folder.file("times.jsonl").unlink()
    assert "No clocks were kept" in written([folder.path], tmp_path)[".md"]


# the command


def run(*args):
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    parsed = parser.parse_args(["report", *map(str, args)])
    return parsed.run(parsed)


def test_the_command_writes_into_the_first_folder(arms, tmp_path, capsys):
    folder = made_folder(tmp_path / "run", Arm())
    assert run(folder.path, "--title", "A title") == 0
    assert {path.name for path in folder.path.glob("report.*")} == {"report.html", "report.md", "report.json"}
    assert str(folder.path / "report.html") in capsys.readouterr().out
    assert (folder.path / "report.md").read_text(encoding="utf-8").startswith("# A title\n")


def test_the_command_writes_one_file_when_asked_for_one(arms, tmp_path):
    assert run(arms[0].path, "--out", tmp_path / "deep" / "mine.md") == 0
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["mine.md"]


def test_the_command_refuses_less_than_no_details(arms):
    with pytest.raises(ConfigError, match="--details"):
        run(arms[0].path, "--details", "-1")


def test_thousands_of_samples_make_a_page_of_a_few_megabytes(tmp_path):
    big = made_folder(tmp_path / "run", Arm((MadeTask("large", 500),), repeats=8))
    page = written([big.path], tmp_path)[".html"]
    assert page.count('<details class="problem"') == 500
    assert len(page) < 6_000_000


def test_a_sample_has_its_own_address(arms, tmp_path):
    page = written([folder.path for folder in arms], tmp_path)[".html"]
    some: Sample = next(arms[0].samples())
    assert f'id="{some.id}"' in page
    assert f'id="{some.id}/2"' in page


def test_repeats_that_are_copies_are_no_repeats(tmp_path):
    arm = Arm((MadeTask("made", 10),))
    copies = [sample.model_copy(update={"digest": f"{sample.place}"}) for sample in arm.samples()]
    folder = write_folder(tmp_path / "run", arm.manifest(), copies, MadeTask("made", 10).referenced())
    assert leads(folder)["Repeats are copies."].facts == "10 of 10 problems of made."
    assert "Repeats are copies." not in leads(made_folder(tmp_path / "other", arm))
