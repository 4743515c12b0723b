"""The command `k2 judge measure`, its figures, and calibrated verdicts."""

from __future__ import annotations

import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from k2core_verifier_judge import command
from k2core_verifier_judge.asking import AskingConfig
from k2core_verifier_judge.calibration import Calibration, load, probability, rated
from k2core_verifier_judge.labelled import Labelled, draw
from k2core_verifier_judge.measure import ask, calibrated, figures
from k2core_verifier_judge.pairwise import Judge, JudgeConfig
from k2core_verifier_judge.panel import PROMPT, Opinion
from k2core_verifier_judge.rating import Rating, RatingConfig

from k2core import Candidate, DecodeRequest, PipelineConfig, Problem, Registry, Runtime, Verdict
from k2core.testing import FakeSampler, assert_conforms, fake_decoder
from k2core.testing.fakes import Respond

ROWS = [
    Labelled(f"p{n}", f"Problem {n}?", f"{'long ' * (n % 3)}answer {kind} {n}", kind == "right")
    for n in range(40)
    for kind in ("right", "wrong")
]


def knows(share: float) -> Respond:
    """A judge that finds the right completion in this share of the problems, and prefers the first place in the others."""

    def respond(request: DecodeRequest, index: int) -> str:
        text = request.messages[-1].content
        number = int(re.findall(r"Problem (\d+)", text)[0])
        first_is_right = "right" in text.split("<<<CANDIDATE B")[0]
        if random.Random(number).random() < share:
            return "A is better" if first_is_right else "B is better"
        return "A is better"

    return respond


def runtime(judges: dict[str, Respond], options: dict[str, Any] | None = None, use: str = "judge") -> Runtime:
    registry = Registry()
    for name, respond in judges.items():
        registry.add("decoder", name, fake_decoder(respond))
    registry.add("sampler", "fake", FakeSampler)
    for name, plugin in (("judge", Judge), ("rating", Rating)):
        registry.add("verifier", name, plugin)
    tables: dict[str, Any] = {
        "sampler": {"use": "fake", "decoder": next(iter(judges))},
        "decoders": {n: {"use": n} for n in judges},
    }
    if options is not None:
        tables["verifiers"] = {use: {"decoder": list(judges), **options}}
    return Runtime(PipelineConfig.from_dict(tables), registry=registry)


def measured(config: AskingConfig, judges: dict[str, Respond]) -> tuple[dict[str, Any], Calibration]:
    pairs = draw(ROWS, None, 0)
    told: list[tuple[int, int]] = []

    async def main() -> Any:
        async with runtime(judges) as started:
            return await ask(started, config, pairs, 0, lambda done, of: told.append((done, of)))

    outcome = asyncio.run(main())
    assert told[-1] == (len(pairs), len(pairs))
    return figures(config, outcome), calibrated(config, outcome, pairs, ["rows"])


def test_a_judge_that_knows() -> None:
    report, calibration = measured(JudgeConfig(decoder="a"), {"a": knows(1.0)})
    figure = report["judges"]["a"]
    assert figure["accuracy of decided"]["share"] == figure["accuracy, ties one half"]["share"] == 1.0
    assert figure["flips with the order"]["share"] == 0.0
    assert figure["prefers the first place, order 1"]["share"] == pytest.approx(0.5, abs=0.25)
    assert report["spent on judging"]["calls"] == 80
    assert report["spent on judging"]["prompt tokens"] > 0
    assert calibration.judges["a"].outcomes["agree"].p > 0.97
    assert not calibration.warnings(PROMPT, {"a": "fake"})


def test_a_judge_that_prefers_a_place() -> None:
    report, calibration = measured(JudgeConfig(decoder="a"), {"a": knows(0.0)})
    figure = report["judges"]["a"]
    assert figure["flips with the order"]["share"] == 1.0
    assert [figure[f"prefers the first place, order {order}"]["share"] for order in (1, 2)] == [1.0, 1.0]
    assert figure["accuracy of single replies"]["share"] == 0.5
    assert figure["accuracy, ties one half"]["share"] == 0.5
    assert list(calibration.judges["a"].outcomes) == ["flip"]
    assert probability(Opinion("a", ("A", "A")), calibration.judges["a"]) == 0.5
    assert "does not beat a coin on rows" in calibration.warnings(PROMPT, {"a": "fake"})[0]
    assert "measure it again" in calibration.warnings("other rules", {})[0]
    assert "was measured with fake" in calibration.warnings(PROMPT, {"a": "another model"})[-1]


def test_a_mixture_and_the_agreement_of_two_judges() -> None:
    report, _ = measured(JudgeConfig(decoder=("a", "b")), {"a": knows(0.6), "b": knows(0.6)})
    decided = report["judges"]["a"]["decided"]
    assert 0.4 < decided["share"] < 0.8
    assert decided["low"] < decided["share"] < decided["high"]
    assert report["agreement of judges (Cohen's kappa)"] == {"a and b": 1.0}


def test_without_the_swap_places_are_calibrated_apart() -> None:
    _, calibration = measured(JudgeConfig(decoder="a", swap=False), {"a": knows(0.3)})
    outcomes = calibration.judges["a"].outcomes
    assert outcomes["second"].p > 0.9 > outcomes["first"].p
    assert probability(Opinion("a", ("B",)), calibration.judges["a"]) < 0.1


def marks(request: DecodeRequest, index: int) -> str:
    number = int(re.findall(r"Problem (\d+)", request.messages[-1].content)[0])
    return str(5 + number % 3 + 3 * ("right" in request.messages[-1].content) * (number % 4 > 0))


def test_ratings() -> None:
    report, calibration = measured(RatingConfig(decoder="a"), {"a": marks})
    figure = report["judges"]["a"]
    assert figure["accuracy, ties one half"]["share"] == pytest.approx(30 / 40 + 5 / 40)
    assert figure["equal ratings"]["share"] == 0.25
    assert figure["mean rating of right ones"] > figure["mean rating of wrong ones"]
    shares = [p for _, p, _ in calibration.judges["a"].ratings]
    assert shares == sorted(shares)
    assert rated(10, calibration.judges["a"]) > 0.9 > rated(5, calibration.judges["a"])


def test_replies_that_name_nobody_are_counted() -> None:
    report, _ = measured(JudgeConfig(decoder="a"), {"a": lambda request, index: "hm"})
    figure = report["judges"]["a"]
    assert figure["replies without a winner"]["share"] == 1.0
    assert figure["accuracy, ties one half"]["share"] is None
    report, _ = measured(JudgeConfig(decoder="a"), {"a": lambda request, index: RuntimeError("boom")})
    assert report["judges"]["a"]["failed calls"]["share"] == 1.0


def test_calibrated_verdicts(tmp_path: Path) -> None:
    _, calibration = measured(JudgeConfig(decoder="a"), {"a": knows(1.0)})
    path = tmp_path / "calibration.json"
    path.write_text(calibration.model_dump_json())

    async def main(respond: Respond) -> tuple[list[Verdict], list[str]]:
        started = runtime({"a": respond}, {"calibration": str(path)})
        async with started, started.open(Problem(prompt="Problem 1?"), seed=1) as run:
            made = await run.verify([Candidate(id=name, text=name) for name in ("right", "wrong")])
            return list(made), [str(one) for one in run.warnings]

    verdicts, warnings = asyncio.run(main(knows(1.0)))
    expected = calibration.judges["a"].outcomes["agree"].p
    assert [verdict.score for verdict in verdicts] == [pytest.approx(expected), pytest.approx(1 - expected)]
    assert 0.97 < expected < 1
    assert not warnings
    assert {verdict.score for verdict in asyncio.run(main(knows(0.0)))[0]} == {0.5}


def test_a_judge_like_a_coin_is_told_of_once(tmp_path: Path) -> None:
    _, calibration = measured(RatingConfig(decoder="a"), {"a": lambda request, index: "7"})
    path = tmp_path / "calibration.json"
    path.write_text(calibration.model_dump_json())

    async def main() -> tuple[list[float], list[str]]:
        started = runtime({"a": lambda request, index: "7"}, {"calibration": str(path)}, "rating")
        async with started, started.open(Problem(prompt="?"), seed=1) as run:
            made = [await run.verify([Candidate(id=name, text=name)]) for name in "xyz"]
            return [one[0].score for one in made], [str(one) for one in run.warnings]

    scores, warnings = asyncio.run(main())
    assert scores == [0.5, 0.5, 0.5]
    assert len([warning for warning in warnings if "does not beat a coin" in warning]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("{", "no calibration of this version"),
        ("[]", "no calibration of this version"),
        ('{"format": "k2core-judge-calibration", "version": 2}', "no calibration of this version"),
        ("RATING", "is for the verifier 'rating'"),
        ("OTHER", "does not know the judge b"),
    ],
)
def test_a_wrong_calibration_says_what_is_wrong(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "calibration.json"
    fine = {"verifier": "judge", "prompt": "x", "data": "x", "n": 1, "judges": {}}
    if text is not None:
        made = {"RATING": json.dumps({**fine, "verifier": "rating"}), "OTHER": json.dumps(fine)}
        path.write_text(made.get(text, text))
    with pytest.raises(ValueError, match=message):
        load(str(path), "judge", ["b"])


# the command

PIPELINE = '[sampler]\nuse = "single"\n[verifiers.judge]\nconcurrency = 2\n[verifiers.rating]\n[decoders.solver]\nuse = "fake"\n'


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str, respond: Respond = knows(1.0)) -> int:  # noqa: B008 # pure
    import argparse

    registry = Registry()
    registry.add("decoder", "fake", fake_decoder(respond))
    registry.add("sampler", "single", FakeSampler)
    monkeypatch.setattr("k2core.Runtime", lambda config: Runtime(config, registry=registry))
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    rows = [{"pid": r.pid, "problem": r.problem, "gold": "SECRET", "completion": r.completion, "correct": r.correct} for r in ROWS]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    parser = argparse.ArgumentParser()
    command.Command().k2_commands(parser.add_subparsers())
    paths = ["--config", str(tmp_path / "pipeline.toml"), "--data", str(tmp_path / "rows.jsonl")]
    args = parser.parse_args(["judge", "measure", *paths, *words])
    return int(args.run(args))


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def respond(request: DecodeRequest, index: int) -> Any:
        seen.extend(message.content for message in request.messages)
        return knows(1.0)(request, index)

    out = tmp_path / "out.json"
    assert run(monkeypatch, tmp_path, "--limit", "9", "--out", str(out), respond=respond) == 0
    printed = capsys.readouterr()
    assert "judge over 9 pairs" in printed.out
    assert re.search(r"accuracy of decided\s+1\.000  \[0\.701, 1\.000\]  of 9", printed.out)
    assert "9 of 9 pairs" in printed.err
    assert not any("SECRET" in text for text in seen)
    assert load(str(out), "judge", ["solver"]).n == 9
    assert json.loads(out.read_text())["figures"]["spent on judging"]["calls"] == 18


def test_the_command_measures_ratings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, tmp_path, "--verifier", "rating", "--limit", "3", respond=lambda request, index: "7") == 0
    printed = capsys.readouterr()
    assert "rating over 3 pairs" in printed.out
    assert "does not beat a coin on rows.jsonl" in printed.err


@pytest.mark.parametrize("words", [("--verifier", "math"), ("--set", "verifiers.judge.nonsense=1")])
def test_the_command_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]) -> None:
    from k2core import K2Error

    with pytest.raises(K2Error, match="verifiers"):
        run(monkeypatch, tmp_path, *words)


def test_the_command_conforms() -> None:
    assert_conforms("command", command.Command)
