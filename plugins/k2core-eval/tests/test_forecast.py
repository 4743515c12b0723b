"""What an evaluation will take, told before it is begun."""

import asyncio
from pathlib import Path

import pytest
from evaluations import k2, pipeline, sums
from k2core_eval.running.forecast import bound, expectation
from made import Arm, MadeTask

from k2core import PipelineConfig, Problem

PROBLEMS = [Problem(prompt="x" * 400), Problem(prompt="y" * 800)]


def forecast(data: dict[str, object], samples: int = 10):  # type: ignore[no-untyped-def] # a `Forecast`
    return asyncio.run(bound(PipelineConfig.from_dict(data), PROBLEMS, samples))


def test_every_candidate_is_as_long_as_it_may_be() -> None:
    data = {
        "sampler": {"use": "best-of-n", "n": 3, "max_tokens": 100, "instructions": False},
        "decoders": {"solver": {"use": "llamacpp"}},
        "prices": {"solver": {"prompt": 1.0, "completion": 2.0}},
    }
    solve = forecast(data).roles["solve"]
    calls = 3 if PipelineConfig.from_dict(data).sampler.options.get("batch") != "all" else 1
    assert solve.completion == 10 * 3 * 100
    assert solve.prompt == 10 * calls * (100 + 200) / 2
    assert solve.cost == pytest.approx((solve.prompt + 2 * solve.completion) / 1e6)


def test_planners_judges_and_what_they_read_count() -> None:
    data = {
        "planner": {"use": "think", "max_tokens": 50},
        "sampler": {"use": "best-of-n", "n": 2, "max_tokens": 1000},
        "verifiers": {"judge": {"decoder": "solver"}},
        "decoders": {"solver": {"use": "llamacpp"}},
    }
    roles = forecast(data, 1).roles
    assert roles["plan"].completion == 100  # it asks twice: for topics, and for the plan
    assert roles["solve"].completion == 2000
    assert roles["judge"].prompt > 2000  # it reads both candidates, at their full length


def test_an_early_stop_is_not_counted_on() -> None:
    data = {
        "sampler": {"use": "adaptive", "n": 8, "max_tokens": 10},
        "verifiers": {"math": {}},
        "decoders": {"solver": {"use": "llamacpp"}},
    }
    assert forecast(data, 1).roles["solve"].completion == 80


def test_the_samples_that_are_there_make_an_expectation() -> None:
    made = list(Arm((MadeTask("made", 5),), repeats=2).samples())
    expected = expectation(made, 100)
    assert expected is not None
    used = sum(spent.usage.completion_tokens for sample in made for spent in sample.spent)
    assert sum(tokens.completion for tokens in expected.roles.values()) == pytest.approx(10 * used)
    assert "10 samples" in expected.basis
    assert expectation([], 100) is None


def test_a_dry_run_asks_nobody_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = k2(sums(tmp_path / "sums.jsonl"), "--config", pipeline(tmp_path), "--out", out, "--dry-run", "--repeats", 5)
    assert done.returncode == 0, done.stderr
    assert "for 30 samples; at most" in done.stdout
    assert not out.exists()


def test_a_probe_is_real_and_kept(tmp_path: Path) -> None:
    out, task, config = tmp_path / "out", sums(tmp_path / "sums.jsonl"), pipeline(tmp_path)
    done = k2(task, "--config", config, "--out", out, "--dry-run", "--probe", 3)
    assert done.returncode == 0, done.stderr
    assert "solve 234 + 162 tokens (prompt + completion) for 6 samples; expected, as the 3 samples" in done.stdout
    assert len((out / "samples.jsonl").read_bytes().splitlines()) == 3
    rest = k2(task, "--config", config, "--out", out)
    assert "going on: 3 of 6 samples are there" in rest.stderr
