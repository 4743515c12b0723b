"""verl itself on this processor: fine-tuning, then GRPO on what that made, from a pipeline to a model that transformers loads.

Runs in verl's environment (`make verl`). The model begins with random weights, learns from conversations to answer with a boxed
digit, and is then rewarded for the right one by the verifier `math`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from k2core_trainer_verl.reward import candidate_of

from k2core import ConfigError, Problem, Task

pytestmark = pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="verl is not installed here: make verl")
DIGITS = range(4)
SMALL = {"model": {"threads": 1, "gradient_checkpointing": False}, "cluster": {"gpus": 1}, "live": False}


def question(n: int) -> str:
    return f"Which digit follows {n}?"


def tasks() -> list[Task]:
    return [Task(problem=Problem(prompt=question(n), domain="math"), reference=str((n + 1) % 4)) for n in DIGITS] * 8


def trainer(out: Path, model: Path, **options: Any) -> dict[str, Any]:
    merged = {**SMALL, "out": str(out), **options}
    merged["model"] = {**SMALL["model"], "model": str(model), **options.get("model", {})}  # type: ignore[dict-item]
    return merged


def run(stand: Any, given: list[Task]) -> Any:
    async def main() -> Any:
        async with stand.runtime as runtime:
            return await runtime.train(given)

    return asyncio.run(main())


def weights(folder: Path) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    return dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("verl_tiny_qwen", Path(__file__).with_name("tiny_qwen.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write(tmp_path_factory.mktemp("tiny"))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers of the right form, right by chance."""
    chance, file = random.Random(0), tmp_path_factory.mktemp("chats") / "chats.jsonl"
    turns = [(question(n), f"\\boxed{{{chance.choice(DIGITS)}}}") for n in DIGITS for _ in range(160)]
    chance.shuffle(turns)
    chat = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
    file.write_text("".join(json.dumps(one) + "\n" for one in chat))
    return file


@pytest.fixture(scope="session")
def taught(tiny: Path, chats: Path, tmp_path_factory: pytest.TempPathFactory, stand: Any) -> tuple[Any, Path]:
    """A report of fine-tuning, and its folder."""
    out = tmp_path_factory.mktemp("sft") / "out"
    optimizer = {"lr": 3e-3, "warmup": 0, "weight_decay": 0.0, "schedule": "constant"}
    sizes = {"prompts": 32, "epochs": 6, "batch_tokens": 3072}
    options = trainer(out, tiny, stage="sft", data={"files": [str(chats)], "max_length": 96}, optimizer=optimizer, **sizes)
    return run(stand(options, verifiers={}), []), out


def test_fine_tuning(taught: tuple[Any, Path], tiny: Path) -> None:
    report, out = taught
    losses = [row["loss"] for row in rows(out / "metrics.jsonl")]
    assert report.steps == len(losses) == 120
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < 0.5 * losses[0]
    before, after = weights(tiny), weights(out / "model")
    assert before.keys() == after.keys()
    assert all_matrices_differ(before, after)


def all_matrices_differ(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Biases and norms are left out: in 16 bits a step need not show in a number near 1."""
    return all((before[name] != after[name]).any() for name in before if before[name].ndim == 2)


def rewarding(out: Path, model: Path, **options: Any) -> dict[str, Any]:
    """Five steps of 8 problems and 4 answers each."""
    optimizer = {"lr": 1e-3, "warmup": 0, "weight_decay": 0.0}
    sizes = {"prompts": 8, "group": 4, "max_prompt": 80, "max_tokens": 16, "micro": 8, "steps": 5, "passes": 10}
    return trainer(out, model, instructions=False, optimizer=optimizer, checkpoint={"every": 3}, **{**sizes, **options})


@pytest.fixture(scope="session")
def rewarded(taught: tuple[Any, Path], tmp_path_factory: pytest.TempPathFactory, stand: Any) -> tuple[Any, Any, Path]:
    """Five steps of GRPO: the stand, its report and its folder."""
    out = tmp_path_factory.mktemp("rl") / "out"
    made = stand(rewarding(out, taught[1] / "model"))
    return made, run(made, tasks()), out


def test_grpo(rewarded: tuple[Any, Any, Path], taught: tuple[Any, Path]) -> None:
    stand, report, out = rewarded
    steps = rows(out / "metrics.jsonl")
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5]
    assert report.steps == 5
    for name in ("loss", "reward", "grad_norm", "entropy", "response_length"):
        assert all(math.isfinite(row[name]) for row in steps), name
    answers = [row for file in sorted((out / "verl" / "rollouts").glob("*.jsonl")) for row in rows(file)]
    assert len(answers) == 5 * 8 * 4
    assert {row["score"] for row in answers} == {0.0, 1.0}
    assert steps[0]["reward"] == pytest.approx(sum(row["score"] for row in answers[:32]) / 32)
    before, after = weights(taught[1] / "model"), weights(out / "model")
    assert all_matrices_differ(before, after)
    assert [event.step for event in stand.told("train_checkpointed")] == [3, 5]


def test_the_rewards_are_the_verifiers(rewarded: tuple[Any, Any, Path], stand: Any) -> None:
    """Every answer of the run, graded again by the pipeline's verifier in this process."""
    out = rewarded[2]
    graded = stand({"out": "unused"}).runtime

    async def main() -> list[tuple[float, float]]:
        found = []
        async with graded as runtime:
            for file in sorted((out / "verl" / "rollouts").glob("*.jsonl")):
                for row in rows(file):
                    answer = candidate_of(row["output"], False, len(row["output"].encode()) >= 16)  # a byte is a token
                    [verdict] = await runtime.verify(question(0), [answer], row["gts"])
                    found.append((row["score"], verdict.score))
        return found

    assert all(theirs == ours for theirs, ours in asyncio.run(main()))


def test_the_trainer_and_the_engine_agree(rewarded: tuple[Any, Any, Path]) -> None:
    """The engine has the trainer's weights in every step: both find the same probabilities for the same tokens."""
    for row in rows(rewarded[2] / "metrics.jsonl"):
        assert row["training/rollout_probs_diff_max"] < 1e-3


def test_nothing_runs_on(rewarded: tuple[Any, Any, Path]) -> None:
    assert _processes(str(rewarded[2])) == []


def test_resumed(rewarded: tuple[Any, Any, Path], taught: tuple[Any, Path], tmp_path: Path, stand: Any) -> None:
    """A sixth step after the five: from the checkpoint, with the metrics going on."""
    out = shutil.copytree(rewarded[2], tmp_path / "out")
    made = stand(rewarding(out, taught[1] / "model", steps=6, resume=True))
    report = run(made, tasks())
    assert report.steps == 6
    assert [event.step for event in made.told("train_stepped")] == [6]
    assert [row["step"] for row in rows(out / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    before, after = weights(rewarded[2] / "model"), weights(out / "model")
    assert all_matrices_differ(before, after)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_of_a_run_that_is_ended(
    number: signal.Signals, rewarded: tuple[Any, Any, Path], taught: tuple[Any, Path], tmp_path: Path
) -> None:
    """`k2 train verl`, on rows in verl's layout, ended while Ray and verl are at work: no process outlives it for long.

    Ray's agents do, now and then, when its daemon has been killed.
    """
    options = rewarding(tmp_path / "out", taught[1] / "model", steps=500, passes=500)
    del options["out"]
    options["data"] = {"files": [str(rewarded[2] / "verl" / "train.parquet")]}
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(json.dumps({"trainer": {"use": "verl", **options}, "verifiers": {"math": {}}}))
    command = [sys.executable, "-m", "k2core", "train", "verl", "--config", str(pipeline), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command)
    try:
        _until(lambda: (tmp_path / "out" / "metrics.jsonl").exists() and rows(tmp_path / "out" / "metrics.jsonl"), 400, process)
        running = _processes(str(tmp_path))
        assert len(running) > 4
        scratch = _variable(running[0], "RAY_TMPDIR")
        assert scratch.is_dir()
    finally:
        process.send_signal(number)
        process.wait(60)
    assert process.returncode == (143 if number is signal.SIGTERM else -9)
    _until(lambda: not _processes(str(tmp_path)) and not scratch.exists(), 1 if number is signal.SIGTERM else 20)


def _until(true: Any, seconds: float, process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process is None or process.poll() is None, "it has ended"
        assert time.monotonic() < end, "it has not come to pass"
        time.sleep(0.2)


def _variable(pid: int, name: str) -> Path:
    found = dict(entry.partition("=")[::2] for entry in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    return Path(found[name])


def _processes(folder: str) -> list[int]:
    """Processes of a run: all have the name of its metrics in their environment, and none is this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"VERL_FILE_LOGGER_PATH={folder}".encode() in (entry / "environ").read_bytes()
            zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if ours and not zombie and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def test_unknown_settings_are_named(tiny: Path, tmp_path: Path, stand: Any) -> None:
    overrides = {"trainer": {"nnode": 2}, "actor_rollout_ref.actor.fsdp_config.wrap_polici.min_num_params": 1, "nonsense": 1}
    options = trainer(tmp_path / "out", tiny, steps=1, prompts=4, group=2, max_prompt=80, max_tokens=16, overrides=overrides)
    with pytest.raises(ConfigError) as caught:
        run(stand(options), tasks())
    text = "\n".join(caught.value.faults)
    assert "trainer.overrides.trainer.nnode: verl has no setting 'nnode' in trainer; did you mean 'nnodes'?" in text
    assert "wrap_polici.min_num_params: verl has no setting 'wrap_polici'" in text
    assert "did you mean 'wrap_policy'?" in text
    assert "trainer.overrides.nonsense: verl has no setting 'nonsense' in its configuration" in text


def test_what_verl_itself_refuses_is_told(tiny: Path, tmp_path: Path, stand: Any) -> None:
    overrides = {"actor_rollout_ref.actor.loss_agg_mode": "median"}
    options = trainer(tmp_path / "out", tiny, steps=1, prompts=4, group=2, max_prompt=80, max_tokens=16, overrides=overrides)
    with pytest.raises(ConfigError, match=r"verl refuses the configuration: .*median"):
        run(stand(options), tasks())


def prepared(folder: Path, model: Path, tables: dict[str, list[dict[str, Any]]], **options: Any) -> tuple[dict[str, Any], Any]:
    """The answer of verl's environment to rows in Parquet files, and verl's configuration that came of it."""
    import pyarrow as pa
    from k2core_trainer_verl import VerlConfig
    from k2core_trainer_verl.inside import prepare
    from omegaconf import OmegaConf
    from pyarrow import parquet as pq

    for name, table in tables.items():
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    small = {"prompts": 4, "group": 2, "max_prompt": 40, "max_tokens": 16, "cluster": {"gpus": 1}}
    config = VerlConfig.model_validate({**small, "model": {"model": str(model), "device": "cpu"}, **options})
    asked = {name: "" for name in ("metrics", "errors", "train", "validation", "grading")}
    lists = {"train_files": [str(folder / f"{name}.parquet") for name in tables], "validation_files": []}
    answer = prepare.prepared({**asked, **lists, "folder": str(folder), "config": config.model_dump(mode="json")})
    return answer, OmegaConf.load(folder / "verl.yaml") if not answer["faults"] else None


def row(source: str, asked: str, reference: Any) -> dict[str, Any]:
    graded = {"style": "rule", "ground_truth": reference}
    return {"data_source": source, "prompt": [{"role": "user", "content": asked}], "reward_model": graded}


def test_files_of_different_layouts_are_loaded(tiny: Path, tmp_path: Path) -> None:
    from verl.trainer.ppo.utils import create_rl_dataset
    from verl.utils import hf_tokenizer

    tables = {"math": [row("math__x", "2 + 2?", "4")] * 4, "logic": [row("logic__y", "Which?", [[1], [2, 3]])] * 4}
    answer, whole = prepared(tmp_path, tiny, tables)
    assert answer["faults"] == []
    found = create_rl_dataset(whole.data.train_files, whole.data, hf_tokenizer(str(tiny)), None)
    assert [found[index]["reward_model"]["ground_truth"] for index in (0, 4)] == ["4", "[[1], [2, 3]]"]


@pytest.mark.parametrize(("steps", "told"), [(2, 2), (3, None)])
def test_prompts_that_are_too_long_give_no_steps(tiny: Path, tmp_path: Path, steps: int, told: int | None) -> None:
    """Of sixteen rows nine fit: a byte is a token."""
    table = [row("math", "2 + 2?", "4")] * 9 + [row("math", "2 + 2?" * 9, "4")] * 7
    assert prepared(tmp_path, tiny, {"rows": table}, steps=steps)[1].trainer.total_training_steps == told


@pytest.mark.filterwarnings("ignore:Ray state API:DeprecationWarning")
def test_the_verifiers_are_told_what_was_asked() -> None:
    """By verl's reward manager, from the row's prompt."""
    import numpy as np
    import torch
    from k2core_trainer_verl.inside.manager import RewardManager
    from k2core_trainer_verl.reward import PROMPT, TRUNCATED
    from omegaconf import OmegaConf
    from verl import DataProto

    told: list[dict[str, Any]] = []

    async def grade(extra_info: dict[str, Any], **_: Any) -> dict[str, float]:
        told.append(extra_info)
        return {"score": 1.0}

    class Tokenizer:
        eos_token_id = 0

        def decode(self, *_: Any, **__: Any) -> str:
            return "5"

    async def main() -> None:
        manager = RewardManager(OmegaConf.create({"data": {"max_response_length": 3}}), Tokenizer(), grade)
        messages = [{"role": "user", "content": "2 + 3?"}]
        columns = {"data_source": "stem", "reward_model": {"ground_truth": "5"}, "extra_info": {"level": 1}, "raw_prompt": messages}
        tensors = {"responses": torch.ones(1, 3, dtype=torch.int64), "attention_mask": torch.ones(1, 5, dtype=torch.int64)}
        await manager.run_single(DataProto.from_dict(tensors, {name: np.array([value]) for name, value in columns.items()}))

    asyncio.run(main())
    assert (list(told[0][PROMPT]), told[0][TRUNCATED]) == ([{"role": "user", "content": "2 + 3?"}], True)
