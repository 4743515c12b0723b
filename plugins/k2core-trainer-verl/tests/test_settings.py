"""From options to verl's settings, and what cannot be asked for."""

from __future__ import annotations

from typing import Any

import pytest
from k2core_trainer_verl import VerlConfig
from k2core_trainer_verl.settings import Files, Place, flattened, settings_for
from pydantic import ValidationError

CPU, NODES = Place("cpu"), Place("cuda", 8, 4)
FILES = Files(["/data/train.parquet"], ["/data/train.parquet"], "/run/checkpoints", "/run/rollouts", "/run/metrics.jsonl")
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"


def settings(place: Place = NODES, **options: Any) -> dict[str, Any]:
    return settings_for(VerlConfig.model_validate({"model": {"model": "m"}, **options}), place, FILES, '{"verifiers": {}}')


def test_the_defaults_are_gurus_recipe() -> None:
    """Its baseline: no divergence, entropy 0, clip 0.2, token mean, 512 prompts of 16, lr 1e-6 after 10 steps, 4 k + 8 k."""
    made = settings(model={"model": "m"}, optimizer={"betas": [0.9, 0.95]})
    assert made["actor_rollout_ref.model.enable_gradient_checkpointing"] is True
    assert (made["data.train_batch_size"], made[f"{ROLLOUT}.n"]) == (512, 16)
    assert (made["data.max_prompt_length"], made["data.max_response_length"]) == (4096, 8192)
    assert (made[f"{ACTOR}.clip_ratio_low"], made[f"{ACTOR}.clip_ratio_high"]) == (0.2, 0.2)
    assert (made[f"{ACTOR}.loss_agg_mode"], made[f"{ACTOR}.entropy_coeff"]) == ("token-mean", 0)
    assert made[f"{ACTOR}.use_kl_loss"] is made["algorithm.use_kl_in_reward"] is False
    optim = {
        name: made[f"{ACTOR}.optim.{name}"] for name in ("lr", "lr_warmup_steps", "weight_decay", "lr_scheduler_type", "clip_grad")
    }
    assert optim == {"lr": 1e-6, "lr_warmup_steps": 10, "weight_decay": 0.1, "lr_scheduler_type": "constant", "clip_grad": 1.0}
    assert (made[f"{ROLLOUT}.temperature"], made[f"{ROLLOUT}.top_p"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("algorithm", "advantage", "deviation", "loss", "clip", "aggregation"),
    [
        ("grpo", "grpo", True, "vanilla", (0.2, 0.2), "token-mean"),
        ("drgrpo", "grpo", False, "vanilla", (0.2, 0.2), "seq-mean-token-sum-norm"),
        ("dapo", "grpo", True, "vanilla", (0.2, 0.28), "token-mean"),
        ("gspo", "grpo", True, "gspo", (3e-4, 4e-4), "seq-mean-token-mean"),
        ("cispo", "grpo", True, "cispo", (1.0, 0.2), "token-mean"),
        ("rloo", "rloo", True, "vanilla", (0.2, 0.2), "token-mean"),
        ("reinforce++", "reinforce_plus_plus", True, "vanilla", (0.2, 0.2), "token-mean"),
    ],
)
def test_algorithms(
    algorithm: str, advantage: str, deviation: bool, loss: str, clip: tuple[float, float], aggregation: str
) -> None:
    made = settings(algorithm=algorithm)
    assert (made["algorithm.adv_estimator"], made["algorithm.norm_adv_by_std_in_grpo"]) == (advantage, deviation)
    assert (made[f"{ACTOR}.clip_ratio_low"], made[f"{ACTOR}.clip_ratio_high"]) == clip
    assert (made[f"{ACTOR}.policy_loss.loss_mode"], made[f"{ACTOR}.loss_agg_mode"]) == (loss, aggregation)
    assert made.get("algorithm.filter_groups.enable", False) is (algorithm == "dapo")


def test_the_table_loss_goes_over_the_algorithm() -> None:
    made = settings(
        algorithm="dapo", dynamic_sampling=False, loss={"clip_high": 0.3, "level": "sequence", "kl": 0.01, "advantage": "dr-grpo"}
    )
    assert (made[f"{ACTOR}.clip_ratio_low"], made[f"{ACTOR}.clip_ratio_high"]) == (0.2, 0.3)
    assert made[f"{ACTOR}.policy_loss.loss_mode"] == "gspo"
    assert (made[f"{ACTOR}.use_kl_loss"], made[f"{ACTOR}.kl_loss_coef"]) == (True, 0.01)
    assert made["algorithm.norm_adv_by_std_in_grpo"] is False
    assert "algorithm.filter_groups.enable" not in made
    assert made["actor_rollout_ref.ref.strategy"] == "fsdp2", "the divergence needs the first model beside the trained one"


def test_the_cpu_differs_from_a_cluster() -> None:
    here, there = settings(CPU), settings(NODES)
    assert (here["trainer.device"], here["trainer.n_gpus_per_node"], here[f"{ROLLOUT}.name"]) == ("cpu", 1, "k2core")
    assert here["actor_rollout_ref.model.override_config.attn_implementation"] == "sdpa"
    assert (here[f"{ROLLOUT}.dtype"], there[f"{ROLLOUT}.dtype"]) == ("float32", "bfloat16")
    assert (there["trainer.nnodes"], there["trainer.n_gpus_per_node"], there[f"{ROLLOUT}.name"]) == (4, 8, "vllm")
    assert there["actor_rollout_ref.model.use_remove_padding"] is True
    assert not [name for name in there if "num_gpus" in name]


def test_a_running_cluster_is_not_started() -> None:
    made = settings(CPU, cluster={"ray": "10.0.0.1:6379"})
    assert made["ray_kwargs.ray_init.address"] == "10.0.0.1:6379"
    assert "ray_kwargs.ray_init.num_gpus" not in made


def test_processes_of_a_cluster_are_told_where_to_write() -> None:
    """They do not inherit the environment of who asks."""
    told = settings(NODES, environment={"NCCL_DEBUG": "INFO"}, cluster={"ray": "auto"})["ray_kwargs.ray_init.runtime_env.env_vars"]
    assert told == {"VERL_FILE_LOGGER_PATH": "/run/metrics.jsonl", "NCCL_DEBUG": "INFO"}


def test_packed_or_padded() -> None:
    packed, padded = settings(batch_tokens=16384), settings(micro=4)
    assert packed[f"{ACTOR}.use_dynamic_bsz"] is packed[f"{ROLLOUT}.log_prob_use_dynamic_bsz"] is True
    assert packed[f"{ACTOR}.ppo_max_token_len_per_gpu"] == 16384
    assert (padded[f"{ACTOR}.use_dynamic_bsz"], padded[f"{ACTOR}.ppo_micro_batch_size_per_gpu"]) == (False, 4)


def test_adapters() -> None:
    made = settings(model={"model": "m", "lora": {"rank": 8, "alpha": 16}})
    model = {name.rpartition(".")[2]: value for name, value in made.items() if name.startswith("actor_rollout_ref.model.")}
    assert (model["lora_rank"], model["lora_alpha"], model["target_modules"]) == (8, 16, "all-linear")
    assert made[f"{ROLLOUT}.load_format"] == "safetensors"
    assert settings(CPU, model={"model": "m", "lora": {}})["actor_rollout_ref.model.lora.merge"] is True


def test_fine_tuning() -> None:
    optimizer = {"lr": 1e-4, "warmup": 0.05, "schedule": "cosine"}
    made = settings(stage="sft", epochs=2, batch_tokens=32768, data={"max_length": 32768}, optimizer=optimizer)
    assert (made["data.train_batch_size"], made["data.max_length"], made["data.max_token_len_per_gpu"]) == (512, 32768, 32768)
    assert (made["data.pad_mode"], made["data.use_dynamic_bsz"]) == ("no_padding", True)
    assert (made["optim.lr"], made["optim.lr_warmup_steps_ratio"], made["optim.lr_scheduler_type"]) == (1e-4, 0.05, "cosine")
    assert (made["trainer.total_epochs"], made["engine.fsdp_size"]) == (2, -1)
    assert not [name for name in made if name.startswith(("actor_rollout_ref", "reward", "algorithm"))]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompts": 10, "minibatches": 3}, "minibatches = 3 does not divide prompts = 10"),
        ({"batch_tokens": 1000}, "cannot hold the longest sequence of 12288 tokens"),
        ({"optimizer": {"schedule": "linear"}}, "verl has constant and cosine"),
        ({"model": {"model": "m", "revision": "x"}}, "verl takes no revision"),
        ({"model": {"lora": {"alpha": 0.4}}}, "model.lora.alpha: verl takes whole numbers only, not 0.4"),
        ({"group": 1}, "greater than or equal to 2"),
        ({"algorithm": "ppo"}, "'grpo', 'drgrpo'"),
        ({"rollout": {"engin": "vllm"}}, "rollout.engin"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("(", r"\(")):
        VerlConfig.model_validate(options)


def test_flattened() -> None:
    assert flattened({"a": {"b": {"c": 1}, "d.e": 2}, "f": {}}) == {"a.b.c": 1, "a.d.e": 2, "f": {}}
