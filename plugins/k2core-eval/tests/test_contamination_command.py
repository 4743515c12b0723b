"""`k2 eval contamination` from its arguments to its files, and what is known of real data."""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from k2core_eval.commands import contamination
from k2core_eval.contamination.evaluation import bare, from_file
from k2core_eval.contamination.report import Report
from k2core_eval.contamination.rows import expand
from k2core_eval.contamination.scan import scan_files
from k2core_eval.contamination.twins import twins
from k2core_eval.store.folder import Folder
from made import Arm, MadeTask, made_folder

from k2core.errors import ConfigError

BENCH = Path(__file__).parents[3].parent / "shared" / "data" / "bench"
needs_data = pytest.mark.skipif(not BENCH.is_dir(), reason="needs shared/data/bench beside the checkout")
STORY = (
    "In the year of the flood a miller kept {n} geese and sold the eggs at the {place} for {m} pence each. "
    "After paying the ferryman he had half of the money left. How many eggs did the miller sell before the {time}?"
)
PLACES = ("harbour", "castle", "monastery", "windmill", "orchard", "lighthouse")


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    contamination.add(parser.add_subparsers())
    args = parser.parse_args(["contamination", *arguments])
    status: int = args.run(args)
    return status


def lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_run_is_scored_on_its_clean_and_its_dirty_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made_folder(tmp_path / "run", Arm(tasks=(MadeTask(name="made", problems=20),), repeats=3, label="bare"))
    problems = list(folder.problems())
    held = [problem.problem.text for problem in problems[:5]]
    train = lines(tmp_path / "train.jsonl", [{"messages": [{"role": "user", "content": text}]} for text in held])
    out = tmp_path / "deep" / "report.json"
    assert run("--train", train, "--run", str(folder.path), "--out", str(out), "--jobs", "1") == 0
    report = Report.model_validate_json(out.read_bytes())
    assert report == Report.model_validate_json(folder.file("contamination.json").read_bytes())
    dirty = report.dirty("made")
    assert set(range(5)) <= dirty
    by_part = {part.part: part for part in report.scores}
    assert by_part["clean"].problems + by_part["dirty"].problems == by_part["all"].problems == 20
    rates = {"clean": [], "dirty": []}  # type: dict[str, list[bool]]
    for sample in Folder(folder.path).samples():
        rates["dirty" if sample.place in dirty else "clean"].append(sample.outcome == "correct")
    for part, values in rates.items():
        assert by_part[part].samples == len(values)
        assert by_part[part].accuracy.value == pytest.approx(sum(values) / len(values) if values else None)
    said = capsys.readouterr().out
    assert f"{len(dirty)} of 20 problems of made were found in the training data" in said
    assert "bare, made, clean:" in said


def test_files_of_problems_and_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stories = [STORY.format(n=i + 3, place=place, m=i + 2, time=f"{place} fair") for i, place in enumerate(PLACES)]
    exam = lines(
        tmp_path / "exam.jsonl",
        [{"id": f"q{i}", "question": story} for i, story in enumerate(stories[:2])] + [{"prompt": "Why not?"}],
    )
    train = lines(
        tmp_path / "train.jsonl", [{"text": stories[0]}, {"text": stories[1].replace("miller", "baker")}, {"text": "Else."}]
    )
    assert run("--train", train, "--eval-file", exam, "--self", "--out", str(tmp_path / "out.json"), "--jobs", "1") == 0
    report = json.loads((tmp_path / "out.json").read_text())
    first = report["found"][0]
    assert (first["id"], first["kind"], first["matches"][0]["row"]) == ("q0", "exact", 1)
    assert {one["id"] for one in report["found"]} == {"q0", "q1"}
    assert all(match["excerpt"] for one in report["found"] for match in one["matches"])
    said = capsys.readouterr().out
    assert "2 of 3 problems of exam were found in the training data: 1 exact" in said
    assert "Searched 3 rows in 1 files" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give training data"),
        (["--self"], "give what to look for"),
        (["--self", "--eval-file", "missing.jsonl"], "--eval-file missing.jsonl: there is no such file"),
        (["--train", "missing.jsonl", "--eval-file", "EXAM"], "there is no such file"),
        (["--train", "EXAM", "--eval-file", "EXAM", "EXAM"], "rename the file"),
        (["--train", "EXAM", "--run", "."], "holds no evaluation"),
        (["--train", "EXAM", "--eval-file", "EXAM", "--out", "EXAM/below"], "cannot write"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, arguments: list[str], message: str) -> None:
    exam = lines(tmp_path / "exam.jsonl", [{"problem": STORY}])
    with pytest.raises(ConfigError, match=message):
        run(*(argument.replace("EXAM", exam) for argument in arguments), "--jobs", "1")


def test_the_template_of_a_prompt_is_taken_off() -> None:
    assert bare("Solve this.\n\nWhat is 1+1?\nBox it.", "Solve this.\n\n{problem}\nBox it.") == "What is 1+1?"
    assert bare("What is 1+1?", "Solve this.\n\n{problem}") == "What is 1+1?"
    assert bare("What is 1+1?", "") == "What is 1+1?"


@needs_data
def test_what_is_known_of_real_sets_is_found() -> None:
    exam = from_file(BENCH / "math500.jsonl")
    aime, mathematics = (
        scan_files(exam, expand([str(BENCH / name)])) for name in ("train_aime_1983_2023.jsonl", "train_math_deepscaler.jsonl.gz")
    )
    sure = [one for one in aime.found if one.kind in ("exact", "normalised") or not one.changed]
    assert len(sure) >= 7
    assert any(one.kind in ("exact", "normalised", "ngram") and not one.changed for one in mathematics.found)
    clean = scan_files(
        from_file(BENCH / "aime25.jsonl") + from_file(BENCH / "hmmt_feb25.jsonl"), expand([str(BENCH / "train_aime*")])
    )
    assert clean.found == ()


@needs_data
def test_the_duplicates_of_omni_math_are_found() -> None:
    with gzip.open(BENCH / "omni_math_rule.jsonl.gz", "rt") as file:
        texts = [" ".join(json.loads(line)["problem"].split()) for line in file]
    known = len(texts) - len(set(texts))
    pairs = [pair for pair in twins(from_file(BENCH / "omni_math_rule.jsonl.gz")) if pair.kind in ("exact", "normalised")]
    assert len(pairs) >= known >= 5
