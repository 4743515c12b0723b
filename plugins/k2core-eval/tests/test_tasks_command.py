"""`k2 eval tasks`, as it is called."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from k2core_eval.commands import tasks as command
from k2core_eval.tasks.catalogue import ENTRIES

from k2core import ConfigError

SUMS = [{"question": f"What is {n} + 1?", "answer": f"One more.\n#### {n + 1}"} for n in range(5)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "gsm8k.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SUMS))
    (tmp_path / "aime24.jsonl").write_text(json.dumps({"problem": "A secret contest problem?", "answer": "4"}) + "\n")
    return tmp_path


def called(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    args = parser.parse_args(["tasks", *words])
    status: int = args.run(args)
    return status


def test_the_list(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("--data", str(data)) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(ENTRIES) <= set(lines)
    assert "1319" in lines["gsm8k"]
    assert "gsm8k.jsonl" in lines["gsm8k"]
    assert "hub" in lines["gpqa-diamond"]
    assert "gated" in lines["gpqa-diamond"]
    assert "needs a revision" in lines["scicode"]
    assert "by path only" in lines["cmimc24"]
    assert "jsonl:…" in lines


def test_the_list_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("--json", "--data", str(data)) == 0
    found: dict[str, Any] = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["gsm8k"]["card"]["grader"]["use"] == "math"
    assert found["gsm8k"]["available"] == f"local: {data / 'gsm8k.jsonl'}"
    assert found["aime24"]["card"]["publish"] is False


def test_a_card_with_examples(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("gsm8k", "--data", str(data)) == 0
    out = capsys.readouterr().out
    assert "openai/gsm8k @ 740312add88f781978c0658806c59bc2815b9866" in out
    assert "What is 0 + 1?" in out
    assert "What is 1 + 1?" in out
    assert "What is 2 + 1?" not in out
    assert "####" not in out  # no reference, no worked solution
    assert called("gsm8k", "--json", "--data", str(data)) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == ["What is 0 + 1?", "What is 1 + 1?"]


def test_texts_that_may_not_be_published_are_not_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--json"]):
        assert called("aime24", "--data", str(data), *more) == 0
        out = capsys.readouterr().out
        assert "secret" not in out
        assert "90.83" in out


def test_a_card_without_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("hle") == 0
    out = capsys.readouterr().out
    assert "stem (decoder = judge)" in out
    assert "9.95 % K2 Think" in out


def test_files_and_tables_of_ones_own(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "x", "problem": "Mine?", "answer": "1"}\n')
    assert called(str(path)) == 0
    assert "Mine?" in capsys.readouterr().out
    assert called("gsm8k", "--set", f"tasks.gsm8k.path={data / 'gsm8k.jsonl'}", "--set", "sampler.n=5") == 0
    assert "What is 0 + 1?" in capsys.readouterr().out
    config = tmp_path / "pipeline.toml"
    config.write_text(f'[tasks.own]\nuse = "jsonl"\npath = "{path}"\nlicence = "my own"\n')
    assert called("own", "--config", str(config)) == 0
    assert "my own" in capsys.readouterr().out


def test_data_that_cannot_be_had_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gsm8k.jsonl").write_text("no JSON\n")
    assert called("gsm8k", "--data", str(tmp_path)) == 0
    said = capsys.readouterr()
    assert "arXiv:2110.14168" in said.out
    assert "k2: no examples: " in said.err
    assert "gsm8k.jsonl:1: is no JSON" in said.err


def test_an_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean gsm8k"):
        called("gsm9k")
