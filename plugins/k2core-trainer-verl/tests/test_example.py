"""examples/k2-think-32b: its pipelines against verl's own schema, its estimates against arithmetic and what its README quotes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from k2core_trainer_verl import VerlConfig
from k2core_trainer_verl.grading import grading_json

from k2core import PipelineConfig

EXAMPLE = Path(__file__).parents[3] / "examples" / "k2-think-32b"
STAGES = ("sft", "rl")


def configured(stage: str) -> tuple[PipelineConfig, VerlConfig]:
    pipeline = PipelineConfig.from_file(EXAMPLE / f"{stage}.toml", ["trainer.out=run"])
    assert pipeline.trainer is not None
    return pipeline, VerlConfig.model_validate(pipeline.trainer.options)


def estimate() -> Any:
    spec = importlib.util.spec_from_file_location("k2_think_32b_estimate", EXAMPLE / "estimate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("stage", STAGES)
def test_the_options_are_the_recipes(stage: str) -> None:
    config = configured(stage)[1]
    if stage == "sft":
        assert (config.optimizer.lr, config.optimizer.schedule, config.optimizer.warmup) == (1e-4, "cosine", 0.05)
        assert (config.epochs, config.prompts, config.data.max_length) == (2, 512, 32768)
    else:
        assert (config.optimizer.lr, config.optimizer.warmup, config.optimizer.weight_decay) == (1e-6, 10, 0.1)
        assert (config.prompts, config.group, config.prompts // config.minibatches, config.whole) == (512, 16, 64, 32768)
    assert config.model.model == "Qwen/Qwen2.5-32B"


def test_every_domain_of_guru_has_its_verifier() -> None:
    pipeline, config = configured("rl")
    assert set(config.reward.verifier) == {"math", "codegen", "logic", "simulation", "table", "stem"}
    assert set(config.reward.verifier.values()) == set(pipeline.verifiers)
    grading = json.loads(grading_json(pipeline.model_dump(mode="json", exclude_none=True)))
    assert set(grading["decoders"]) == {"checker"}


@pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="verl is not installed here: make verl")
@pytest.mark.parametrize("stage", STAGES)
def test_composed_against_verls_schema(stage: str, tmp_path: Path) -> None:
    """As the trainer composes it on eight nodes of eight; then verl's own command reads what was written and prints the same."""
    from k2core_trainer_verl.inside.prepare import composed, written
    from k2core_trainer_verl.launching import MODULES
    from k2core_trainer_verl.settings import Files, Place
    from omegaconf import OmegaConf

    pipeline, config = configured(stage)
    grading = grading_json(pipeline.model_dump(mode="json", exclude_none=True)) if stage == "rl" else ""
    files = Files(["/guru/train.parquet"], ["/guru/train.parquet"], "/run/checkpoints", "/run/rollouts")
    whole, faults = composed(config, Place("cuda", 8, 8), files, grading)
    assert faults == []
    if stage == "rl":
        assert whole.actor_rollout_ref.rollout.name == "vllm"
        assert whole.actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size == 2
    command = [sys.executable, "-m", MODULES[stage], "--config-path", str(tmp_path), "--config-name", "verl", "--cfg", "job"]
    written(whole, tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert OmegaConf.create(done.stdout) == whole


def test_arithmetic_of_the_estimate() -> None:
    """32.76 billion parameters, as the weights on the hub have; keys and values of a token take 256 KiB."""
    made = estimate()
    model = made.QWEN_32B
    assert model.parameters == 32_763_876_352
    assert round((model.parameters - 2 * model.embedding) / 1e9, 1) == 31.2
    assert model.cache == 256 * 1024
    assert made.states(model, 16) * 2 == made.states(model, 8) == 2 * model.parameters
    assert made.operations(model, 0, False) == 6 * (model.parameters - model.embedding)
    assert made.operations(model, 32_768) > made.operations(model, 1_024)
    plan = made.laid_out(model, made.H200, 8, 32_768, made.Assumed())
    assert made.fits(made.training_memory(model, plan), made.H200, made.Assumed())
    assert not made.fits(made.training_memory(model, made.Plan(8, 32_768, 8)), made.H100, made.Assumed())


def test_more_devices_are_never_slower() -> None:
    made = estimate()
    for device in (made.H100, made.H200):
        days = [float(row[-1].replace(",", "")) for row in made.fine_tuning(made.QWEN_32B, device, made.Assumed())]
        assert days == sorted(days, reverse=True)
    days = [float(row[-1]) for row in made.reinforcing(made.QWEN_32B, made.H200, made.Assumed(), 4_096, 8_192)]
    assert days == sorted(days, reverse=True)


def test_computing_takes_longer_than_communicating() -> None:
    """As the README says of both stages, on every number of devices."""
    made = estimate()
    for device in (made.H100, made.H200):
        for gpus in made.GPUS:
            assumed = made.Assumed()
            for longest, tokens, forwards in ((32_768, 512 * 32_768, 0), (12_288, 8_192 * 4_400, 1)):
                plan = made.laid_out(made.QWEN_32B, device, gpus, longest, assumed)
                work = made.computing(made.QWEN_32B, device, plan, tokens, 4_400, forwards, assumed)
                assert made.communicating(made.QWEN_32B, plan, tokens, assumed, forwards) < work


def test_the_readme_quotes_what_is_printed() -> None:
    done = subprocess.run([sys.executable, str(EXAMPLE / "estimate.py")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in (EXAMPLE / "README.md").read_text(encoding="utf-8")
