"""Verifiers that raise, hang, die or lie, gradients that are not finite, a full disk: counted, or said, and no checkpoint lost."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpo_bench as bench
import pytest

torch = pytest.importorskip("torch")

from k2core_training.checkpoints import Checkpoints  # noqa: E402
from k2core_training.errors import DiskError, TrainingError  # noqa: E402

from k2core import Candidate, Problem, Verdict, hookimpl  # noqa: E402
from k2core.events import Event  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = bench.model(tmp_path_factory.mktemp("tiny"))
    return made


class Faulty(bench.Rule):
    """A verifier that fails in another way for each choice but the last; every other answer is worth 1."""

    async def judge(self, candidate: Candidate) -> Verdict:
        if candidate.id == "0":
            raise ValueError("the reward raised")
        if candidate.id == "1":
            await asyncio.sleep(3600)
        score = float("nan") if candidate.id == "2" else 1.0
        return Verdict(candidate_id=candidate.id, status="correct", score=score)


def test_no_verdict_is_not_a_wrong_answer(folder: Path, tmp_path: Path) -> None:
    heard: Counter[str] = Counter()

    def hear(event: Event) -> None:
        if event.kind == "train_skipped":
            heard[event.reason] = event.count  # type: ignore[attr-defined]

    out = tmp_path / "out"
    bench.train(bench.tables(folder, out, steps=2, group=5, reward={"timeout": 0.1}), rule=Faulty, told=hear)
    rows = bench.metrics(out)
    assert [row["reward"] for row in rows] == [1.0, 1.0]  # of those that were judged
    assert heard == {"verifier failed": 12, "verifier timed out": 6}
    assert rows[-1]["skipped"] == 18
    assert rows[-1]["zero_variance"] == 1.0


def test_measuring_does_not_wait_for_a_verifier_that_hangs(folder: Path, tmp_path: Path) -> None:
    class Hanging(bench.Rule):
        @hookimpl
        async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
            served = [c.completion is not None and c.completion.logprobs is None for c in candidates]
            if reference is not None and all(served):  # no rollout
                await asyncio.sleep(3600)
            return [await self.judge(candidate) for candidate in candidates]

    out = tmp_path / "out"
    held = [task.model_copy(update={"meta": {"split": "validation"}}) for task in bench.tasks(8)[6:]]
    config = bench.tables(folder, out, steps=1, evaluation={"every": 1}, reward={"timeout": 0.1})
    bench.train(config, [*bench.tasks(), *held], rule=Hanging)
    measured = [row for row in bench.metrics(out) if "eval_unjudged" in row]
    assert measured[0]["eval_unjudged"] == 2
    assert "eval_accuracy" not in measured[0]


class Dying(bench.Rule):
    """Dies with the third step's first verdict."""

    seen = 0

    async def judge(self, candidate: Candidate) -> Verdict:
        type(self).seen += 1
        if type(self).seen > 24:
            raise BrokenPipeError("the verifier's process is gone")
        return await super().judge(candidate)


def test_a_verifier_that_dies_ends_it_with_a_whole_checkpoint(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match=r"no completion could be rewarded in 3 steps in a row \(until step 5\).*is gone"):
        bench.train(bench.tables(folder, out, steps=9), rule=Dying)
    last = Checkpoints(out / "checkpoints").latest()
    assert last is not None
    assert last.step == 5
    report = bench.train(bench.tables(folder, out, steps=6, resume=True))
    assert report.steps == 6


def test_a_verifier_that_dies_costs_no_step_since_the_last_checkpoint(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match="--resume goes on from here"):
        bench.train(bench.tables(folder, out, steps=9, checkpoint={"every": 100}), rule=type("Dying", (Dying,), {"seen": 0}))
    assert os.listdir(out / "checkpoints") == ["step-00000005"]
    bench.train(bench.tables(folder, out, steps=6, checkpoint={"every": 100}, resume=True))
    assert [row["step"] for row in bench.metrics(out)] == [1, 2, 3, 4, 5, 6]


def test_completions_for_people_may_be_thrown_away(folder: Path, tmp_path: Path) -> None:
    """A file that is shorter than at the checkpoint is not filled up with zeros."""
    out = tmp_path / "out"
    bench.train(bench.tables(folder, out, steps=2))
    (out / "samples.jsonl").write_text("")
    bench.train(bench.tables(folder, out, steps=3, resume=True))
    assert {json.loads(line)["step"] for line in (out / "samples.jsonl").read_text().splitlines()} == {3}


def test_a_gradient_that_is_not_finite_is_skipped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from k2core_trainer_grpo import losses

    calls, real = iter(range(100)), losses.aggregated
    monkeypatch.setattr(losses, "aggregated", lambda *args: real(*args) * (float("nan") if next(calls) == 1 else 1.0))
    out = tmp_path / "out"
    bench.train(bench.tables(folder, out))
    rows = bench.metrics(out)
    assert [row["bad_gradients"] for row in rows] == [0, 1, 0, 0]
    assert rows[1]["loss"] is None
    assert rows[3]["rollout_gap"] < 1e-4


def test_a_full_disk_keeps_the_last_checkpoint(folder: Path, tmp_path: Path) -> None:
    """The checkpoint of the second step finds no room."""
    out, (soft, hard) = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)

    def hear(event: Event) -> None:
        if event.kind == "train_checkpointed":
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))

    try:
        with pytest.raises(DiskError, match=r"step 2 could not be written.*the one of step 1 is whole"):
            bench.train(bench.tables(folder, out), told=hear)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(os.listdir(out / "checkpoints")) == ["step-00000001"]
    assert bench.train(bench.tables(folder, out, resume=True)).steps == 4


def test_dynamic_sampling_replaces_what_teaches_nothing(folder: Path, tmp_path: Path) -> None:
    class ByProblem(bench.Rule):
        @hookimpl
        async def k2_verify(self, problem: Problem, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
            easy = problem.domain == "math"
            return [Verdict(candidate_id=c.id, status="correct", score=1.0 if easy else len(c.text) % 11 / 11) for c in candidates]

    plain, dynamic = tmp_path / "plain", tmp_path / "dynamic"
    bench.train(bench.tables(folder, plain, steps=3), rule=ByProblem)
    bench.train(bench.tables(folder, dynamic, steps=3, dynamic_sampling=4), rule=ByProblem)
    few, many = bench.metrics(plain), bench.metrics(dynamic)
    assert [row["groups"] for row in few] == [3, 3, 3]
    assert sum(row["zero_variance"] for row in few) > 0
    assert all(row["groups"] > 3 or row["zero_variance"] == 0 for row in many)
    assert all(row["tokens"] > 0 and "score_math" not in row for row in many)


def test_an_answer_to_everything_is_seen(folder: Path, tmp_path: Path) -> None:
    """Two of the four completions of each problem, whichever it is, have the same answer."""

    class Stuck(bench.Rule):
        async def judge(self, candidate: Candidate) -> Verdict:
            key = "1" if candidate.id in "01" else candidate.text or candidate.id
            return Verdict(candidate_id=candidate.id, status="correct", score=len(candidate.text) % 11 / 11, key=key)

    out = tmp_path / "out"
    bench.train(bench.tables(folder, out, steps=2, samples=12), rule=Stuck)
    assert [row["common_answer"] for row in bench.metrics(out)] == [0.5, 0.5]
    rows = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in rows].count("1") == 12
