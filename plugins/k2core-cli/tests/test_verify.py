"""`k2 verify`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
ROWS = [
    {"id": "a", "gold": "42", "prediction": "It is 42."},
    {"id": "b", "gold": "42", "prediction": "It is 41.", "problem": "6*7?"},
    {"id": 3, "gold": 7, "completion": "7"},
]


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return path


def judged(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_line_of_verdict_for_each_line_in_the_same_order(k2: Run, fakes: Path, tmp_path: Path) -> None:
    done = k2("verify", "--verifier", "fake", written(tmp_path / "rows.jsonl", *ROWS))
    assert done.status == 0
    assert [(row["id"], row["status"], row["score"]) for row in judged(done)] == [
        ("a", "correct", 1.0),
        ("b", "incorrect", 0.0),
        (3, "correct", 1.0),
    ]
    assert all(set(row) == {"id", "status", "score", "key", "answer", "reason", "ms"} for row in judged(done))
    assert "3 judged in" in done.err
    assert "2 correct, 1 incorrect" in done.err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rubbish", "not JSON"),
        ("[1]", "a line is an object, not list"),
        ('{"id": "bad", "gold": "1"}', "neither `prediction` nor `completion`; the fields are: id, gold"),
        ('{"id": "bad", "prediction": "1"}', "no `gold`"),
        ('{"id": "bad", "prediction": "1", "gold": null}', "no `gold`"),
        ('{"id": "bad", "prediction": ["1"], "gold": "1"}', 'a text is wanted, not ["1"]'),
        ('{"id": "bad", "prediction": "1", "gold": "1", "answer_format": "runes"}', "answer_format"),
        ('{"id": "bad", "prediction": "1", "gold": "1", "problem": "\\ud800"}', "not valid Unicode"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_yields_an_error_and_stops_nothing(k2: Run, fakes: Path, tmp_path: Path, line: str, reason: str) -> None:
    done = k2("verify", "--verifier", "fake", written(tmp_path / "rows.jsonl", ROWS[0], line, "", ROWS[1]))
    first, bad, last = judged(done)
    assert (done.status, first["status"], last["status"]) == (0, "correct", "incorrect")
    assert (bad["status"], bad["id"]) == ("error", "bad" if "bad" in line else 2)
    assert bad["reason"].startswith("line 2: ")
    assert reason in bad["reason"]


def test_fields_that_describe_tests_reach_the_verifier_as_json(k2: Run, fakes: Path, tmp_path: Path) -> None:
    """The fake looks for its reference in the text."""
    tests = {"tests": ["assert f(1) == 2"], "entry_point": "f"}
    row = {"id": "a", **tests, "completion": f"# {json.dumps(tests)}"}
    assert judged(k2("verify", "--verifier", "fake", written(tmp_path / "rows.jsonl", row)))[0]["status"] == "correct"


def test_lines_are_answered_as_they_come(start: Callable[..., subprocess.Popen[str]]) -> None:
    with start("verify", "--verifier", "fake", stdin=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        for row in ROWS:
            child.stdin.write(json.dumps(row) + "\n")
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["id"] == row["id"]
        child.stdin.close()
        assert child.wait(timeout=30) == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_silent_pipe_does_not_keep_it_from_ending(start: Run, number: signal.Signals, status: int) -> None:
    with start("verify", "--verifier", "fake", stdin=subprocess.PIPE) as child:
        child.stdin.write(json.dumps(ROWS[0]) + "\n")
        child.stdin.flush()
        assert child.stdout.readline()
        child.send_signal(number)
        assert child.wait(timeout=30) == status
        assert "k2: stopped; 1 judged" in child.stderr.read()


def test_a_pipelines_verifier_is_taken_by_its_name(k2: Run, pipeline: Path, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", ROWS[0])
    assert k2("verify", "--verifier", "fake", "--config", pipeline, rows).status == 0
    done = k2("verify", "--verifier", "math", "--config", pipeline, rows)
    assert done.status == 2
    assert "has no verifier 'math'; [verifiers] has: fake" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verifier", "nobody"], "no verifier plugin is named 'nobody'"),
        (["--verifier", "fake", "--jobs", "0"], "--jobs: must be at least 1, not 0"),
        (["--verifier", "fake", "--format", "runes"], "--format: must be one of boxed"),
        (["--verifier", "fake", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
    ],
)
def test_wrong_usage_says_what_is_wrong(k2: Run, fakes: Path, arguments: list[str], message: str) -> None:
    done = k2("verify", *arguments)
    assert done.status == 2
    assert message in done.err


def test_many_lines_keep_their_order(k2: Run, fakes: Path, tmp_path: Path) -> None:
    rows = [{"id": i, "gold": str(i % 3), "prediction": str(i)} for i in range(500)]
    done = k2("verify", "--verifier", "fake", "--jobs", "7", written(tmp_path / "rows.jsonl", *rows))
    assert [row["id"] for row in judged(done)] == list(range(500))
    assert [row["status"] == "correct" for row in judged(done)] == [str(i % 3) in str(i) for i in range(500)]


def test_on_a_terminal_the_bar_is_drawn_seldom(start: Run, tmp_path: Path) -> None:
    rows = [{"id": n, "gold": "42", "prediction": "42"} for n in range(3000)]
    ours, theirs = os.openpty()
    shown = list[bytes]()

    def read() -> None:
        with suppress(OSError):  # which is how a terminal tells its end
            while chunk := os.read(ours, 1 << 16):
                shown.append(chunk)

    reader = threading.Thread(target=read)
    try:
        with (tmp_path / "out").open("wb") as out:
            process = start("verify", "--verifier", "fake", written(tmp_path / "rows", *rows), stdout=out.fileno(), stderr=theirs)
            os.close(theirs)
            reader.start()
            with process:
                assert process.wait(60) == 0
        reader.join(60)
    finally:
        os.close(ours)
    screen = b"".join(shown).decode()
    assert len((tmp_path / "out").read_text().splitlines()) == 3000
    assert "verifying" in screen
    assert "3000 judged" in screen
    assert screen.count("verifying") < 300
