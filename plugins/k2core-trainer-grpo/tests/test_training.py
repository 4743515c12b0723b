"""Whole trainings of a tiny model: that it learns, what it logs, and how it goes on."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpo_bench as bench
import pytest

torch = pytest.importorskip("torch")

from k2core_training.following.metrics import is_clock  # noqa: E402 # after the check for torch

from k2core import ConfigError  # noqa: E402
from k2core.events import CallStarted, Event  # noqa: E402

BENCH = Path(__file__).with_name("grpo_bench.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = bench.model(tmp_path_factory.mktemp("tiny"))
    return made


def weights(out: Path) -> dict[str, Any]:
    from k2core_training.checkpoints import Checkpoints

    last = Checkpoints(out / "checkpoints").latest()
    assert last is not None
    found: dict[str, Any] = last.state()["optimizer"]["weights"]
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what the machine's speed decides."""
    return [{k: v for k, v in row.items() if not is_clock(k)} for row in rows]


def test_what_is_rewarded_becomes_likelier(folder: Path, tmp_path: Path) -> None:
    config = bench.tables(folder, tmp_path / "out", steps=25, group=8, optimizer={"lr": 1e-2}, checkpoint={"every": 0})
    report = bench.train(config)
    rows = bench.metrics(tmp_path / "out")
    first, last = (sum(row["reward"] for row in part) / 5 for part in (rows[:5], rows[-5:]))
    assert last > 3 * first > 0
    assert report.steps == 25
    assert report.usage["solve"].served == 75
    assert report.usage["solve"].completion_tokens == sum(row["tokens"] for row in rows)
    # the decoder has each step's weights: what it thought of the tokens is what the trainer thinks
    assert all(row["rollout_gap"] < 1e-4 for row in rows)


def test_what_is_logged(folder: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    out = tmp_path / "out"
    report = bench.train(bench.tables(folder, out, evaluation={"every": 2}), _with_validation(), told=events.append)
    rows = bench.metrics(out)
    steps, measured = [row for row in rows if "reward" in row], [row for row in rows if "eval_accuracy" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert [row["step"] for row in measured] == [0, 2, 4]
    row = steps[-1]
    assert row["tokens"] <= 3 * 4 * 12
    assert row["response_length"] <= row["response_length_max"] <= 12
    assert row["entropy"] > 0
    assert row["clip_low"] == row["clip_high"] == row["policy_kl"] == 0  # on-policy
    assert {"score_math", "score_words"} >= {name for name in row if name.startswith("score_")}
    assert row["seconds_rollout"] > 0 < row["seconds_update"]
    assert measured[0]["eval_response_length"] <= 16
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [step for step in (1, 2, 3, 4) for _ in range(4)]
    kinds = [event.kind for event in events]
    assert kinds.count("train_stepped") == 4
    assert kinds.count("train_evaluated") == 3
    assert Path(report.artifacts["model"]).is_dir()


def _with_validation() -> list[Any]:
    held = bench.tasks(8)[6:]
    return [*bench.tasks(), *(task.model_copy(update={"meta": {"split": "validation"}}) for task in held)]


def test_killed_anywhere_it_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    """Kill -9, twice, each time some random while after a further step has been logged."""
    options: dict[str, Any] = {"steps": 8, "minibatches": 2, "samples": 2, "dynamic_sampling": 1, "checkpoint": {"every": 2}}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    bench.train(bench.tables(folder, whole, **options))
    rng = random.Random()
    for after in (2, 5):
        _killed(bench.tables(folder, cut, resume=after > 2, **options), cut / "metrics.jsonl", after, rng.uniform(0, 0.1))
    bench.train(bench.tables(folder, cut, resume=True, **options))
    assert same(weights(whole), weights(cut))
    assert timeless(bench.metrics(whole)) == timeless(bench.metrics(cut))
    assert (whole / "samples.jsonl").read_bytes() == (cut / "samples.jsonl").read_bytes()


def _killed(config: dict[str, Any], file: Path, lines: int, wait: float) -> None:
    process = subprocess.Popen([sys.executable, str(BENCH), json.dumps(config)])
    try:
        until = time.monotonic() + 60
        while not (file.is_file() and len(file.read_bytes().splitlines()) >= lines) and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_cancelled_it_leaves_a_checkpoint_and_goes_on(folder: Path, tmp_path: Path) -> None:
    import asyncio

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    options: dict[str, Any] = {"steps": 5, "checkpoint": {"every": 0}, "optimizer": {"warmup": 0}}
    bench.train(bench.tables(folder, whole, **options))

    async def main() -> None:
        def hear(event: Event) -> None:
            if event.kind == "train_stepped" and getattr(event, "step", 0) == 2:
                work.cancel()

        async with bench.runtime(bench.tables(folder, cut, **options), told=hear) as made:
            work = asyncio.ensure_future(made.train(bench.tasks()))
            with pytest.raises(asyncio.CancelledError):
                await work

    asyncio.run(main())
    assert bench.metrics(cut)[-1]["step"] in (2, 3)
    bench.train(bench.tables(folder, cut, resume=True, **options))
    assert same(weights(whole), weights(cut))


def test_an_adapter_with_a_planner_through_a_folder(folder: Path, tmp_path: Path) -> None:
    """LoRA, KL against the start, entropy bonus, plans, weights as files, several minibatches, Dr. GRPO: all in one."""
    out = tmp_path / "out"
    loss = {
        "advantage": "dr-grpo",
        "aggregation": "seq-mean-token-sum-norm",
        "kl": 0.05,
        "entropy": 0.01,
        "dual_clip": 3.0,
        "importance_cap": 2.0,
    }
    options = {"model": {"lora": {"rank": 4}}, "plan": True, "weights": "folder", "minibatches": 2, "epochs": 2, "loss": loss}
    config = bench.tables(folder, out, **options, optimizer={"lr": 1e-2})
    config["planner"] = {"use": "think", "max_tokens": 8}
    asked: list[Any] = []
    report = bench.train(config, told=lambda event: asked.append(event) if isinstance(event, CallStarted) else None)
    rows = bench.metrics(out)
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-5) or rows[0]["kl"] > 0
    assert rows[-1]["kl"] > 0
    assert rows[-1]["policy_kl"] > 0
    assert all(row["rollout_gap"] < 1e-4 for row in rows)
    assert report.usage["plan"].served >= report.usage["solve"].served == 12  # a planner may ask twice
    assert any("<plan>" in event.request.messages[-1].content for event in asked if event.request.role == "solve")
    assert (Path(report.artifacts["adapter"]) / "adapter_model.safetensors").is_file()
    assert sorted(path.name for path in (out / "weights").glob("*.safetensors")) == ["model.safetensors"]


def test_a_share_of_the_prompts_is_planned_for(folder: Path, tmp_path: Path) -> None:
    options = {"plan": 0.5, "prompts": 4, "steps": 5, "group": 2, "max_tokens": 4, "checkpoint": {"every": 0}}
    plans: list[list[str]] = []
    for name in ("one", "same"):
        config = bench.tables(folder, tmp_path / name, **options)
        config["planner"] = {"use": "think", "max_tokens": 8}
        asked: list[Any] = []
        bench.train(config, told=lambda event, asked=asked: asked.append(event) if isinstance(event, CallStarted) else None)
        solving = [event.request.messages[-1].content for event in asked if event.request.role == "solve"]
        assert len(solving) == 20
        plans.append(sorted(text for text in solving if "<plan>" in text))
    assert 4 <= len(plans[0]) <= 16
    assert plans[0] == plans[1]


def chats(folder: Path, count: int = 12) -> str:
    """Rows, one of which cannot be used."""
    made = [{"prompt": f"What is {n} and {n}?", "response": f"{2 * n}, as {n} is there twice."} for n in range(count)]
    file = folder / "chats.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*made, {"prompt": "no reply"}]))
    return str(file)


def test_what_is_replayed_is_learnt_beside_the_rewards(folder: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    replay = {"files": [chats(tmp_path)], "batch": 12, "max_length": 256}
    options: dict[str, Any] = {"steps": 25, "group": 8, "optimizer": {"lr": 1e-2}, "checkpoint": {"every": 0}}
    bench.train(bench.tables(folder, tmp_path / "out", replay=replay, **options), told=events.append)
    rows = bench.metrics(tmp_path / "out")
    assert rows[-1]["replay_loss"] < rows[0]["replay_loss"] / 2
    first, last = (sum(row["reward"] for row in part) / 5 for part in (rows[:5], rows[-5:]))
    assert last > 1.5 * first
    skipped = [event for event in events if event.kind == "train_skipped"]
    assert [(event.reason, event.count) for event in skipped] == [("malformed", 1)]  # type: ignore[attr-defined]


def test_no_chat_that_holds_a_problem_of_the_evaluation_is_replayed(folder: Path, tmp_path: Path) -> None:
    problem = "A cook has 12 baskets of 7 plums each and eats 5; how many plums are left at noon?"
    problems, file = tmp_path / "problems.jsonl", tmp_path / "chats.jsonl"
    problems.write_text(json.dumps({"problem": problem}) + "\n")
    file.write_text(json.dumps({"prompt": problem, "response": "79"}) + "\n")
    replay = {"files": [str(file)], "max_length": 256, "gate": {"files": [str(problems)]}}
    with pytest.raises(Exception, match="holds a problem of the evaluation"):
        bench.train(bench.tables(folder, tmp_path / "out", replay=replay))


def test_replay_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    """Two optimiser steps a rollout step, each with chats of its own, and the run cut in two."""
    options: dict[str, Any] = {"steps": 4, "minibatches": 2, "replay": {"files": [chats(tmp_path)], "batch": 5, "max_length": 256}}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    bench.train(bench.tables(folder, whole, **options))
    _killed(bench.tables(folder, cut, **options), cut / "metrics.jsonl", 2, 0.0)
    bench.train(bench.tables(folder, cut, resume=True, **options))
    assert same(weights(whole), weights(cut))
    assert timeless(bench.metrics(whole)) == timeless(bench.metrics(cut))


def test_it_asks_as_the_sampler_does(folder: Path, tmp_path: Path) -> None:
    import asyncio

    config = bench.tables(folder, tmp_path / "out", steps=1, prompts=1)
    config["sampler"] |= {"system": "Count.", "instructions": "Say it.", "examples": [{"problem": "1 and 1?", "reply": "2"}]}
    asked: list[Any] = []

    def hear(event: Event) -> None:
        if isinstance(event, CallStarted):
            asked.append(event.request)

    async def main() -> None:
        async with bench.runtime(config, told=hear) as made:
            await made.train(bench.tasks(1))
            await made.solve(bench.tasks(1)[0].problem)

    asyncio.run(main())
    rollout, served = asked
    assert rollout.messages == served.messages
    assert (rollout.n, rollout.temperature, rollout.top_p) == (4, 1.0, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verifiers": {}}, "rewards come from verifiers"),
        ({"verifiers": {"rule": {"weight": 0}}}, "rewards come from verifiers"),
        ({"decoders": {"solver": {"use": "fake"}}}, r"decoders.solver: the decoder 'fake' does not implement k2_load_weights"),
        ({"trainer": {"out": ""}}, "trainer.out"),
        ({"trainer": {"loss": {"dual_clip": 0.5}}}, "dual_clip is above 1"),
        ({"trainer": {"loss": {"importance_cap": 2.0}, "temperature": 0.5}}, "needs temperature 1"),
        ({"trainer": {"replay": {"files": ["chats.jsonl"], "verify": True}}}, "replay.verify"),
        ({"trainer": {"replay": {"files": ["nowhere.jsonl"]}}}, "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_trained_is_said(folder: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    config = bench.tables(folder, tmp_path / "out")
    for table, value in change.items():
        config[table] = bench.merged(config[table], value) if table == "trainer" else value
    with pytest.raises(Exception, match=message):
        bench.train(config)


def test_without_tasks(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no tasks to train on"):
        bench.train(bench.tables(folder, tmp_path / "out"), [])


def test_another_model_at_the_decoder(folder: Path, tmp_path: Path) -> None:
    other = bench.model(tmp_path / "other", width=64)
    config = bench.tables(folder, tmp_path / "out")
    config["decoders"]["solver"]["model"] = str(other)
    with pytest.raises(Exception, match="these are not the weights of this model"):
        bench.train(config)


def test_another_template_at_the_decoder(folder: Path, tmp_path: Path) -> None:
    config = bench.tables(folder, tmp_path / "out")
    config["decoders"]["solver"]["chat_template"] = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ConfigError, match="both must have the same model and chat_template"):
        bench.train(config)
