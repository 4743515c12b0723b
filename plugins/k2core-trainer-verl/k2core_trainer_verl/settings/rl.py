"""The settings of `verl.trainer.main_ppo`."""

from __future__ import annotations

from typing import Any

from ..config import VerlConfig
from .algorithms import algorithm_settings
from .common import dtype_of, engine_settings, model_settings, optimizer_settings, trainer_settings
from .place import Files, Place

ACTOR = "actor_rollout_ref.actor"


def rl_settings(config: VerlConfig, place: Place, files: Files, grading: str) -> dict[str, Any]:
    """By dotted path; what is not here is verl's default."""
    settings: dict[str, Any] = {
        **_data(config, place, files),
        **algorithm_settings(config),
        **model_settings(config, place, "actor_rollout_ref.model"),
        **optimizer_settings(config, f"{ACTOR}.optim"),
        **engine_settings(config, place, f"{ACTOR}.fsdp_config"),
        **_actor(config, place),
        **_rollout(config, place),
        **_reward(config, place, files, grading),
        **trainer_settings(config, place, files.checkpoints),
        "trainer.val_before_train": False,
        "trainer.max_actor_ckpt_to_keep": config.checkpoint.keep,
        "trainer.rollout_data_dir": files.rollouts or None,
        **_ray(config, place, files),
    }
    if config.loss.kl > 0:
        settings |= engine_settings(config, place, "actor_rollout_ref.ref.fsdp_config")
        settings |= _at_once(config, "actor_rollout_ref.ref.log_prob")
        settings["actor_rollout_ref.ref.strategy"] = config.sharding.strategy
    return settings


def _data(config: VerlConfig, place: Place, files: Files) -> dict[str, Any]:
    over_long = config.data.over_long
    return {
        "data.train_files": list(files.train),
        "data.val_files": list(files.validation),
        "data.train_batch_size": config.prompts,
        "data.max_prompt_length": config.max_prompt,
        "data.max_response_length": config.max_tokens,
        "data.filter_overlong_prompts": over_long == "skip",
        "data.truncation": "left" if over_long == "truncate" else "error",
        "data.shuffle": config.data.shuffle,
        "data.seed": config.seed,
        **({"data.dataloader_num_workers": 0} if place.on_cpu else {}),
    }


def _actor(config: VerlConfig, place: Place) -> dict[str, Any]:
    packed = config.batch_tokens > 0
    return {
        f"{ACTOR}.strategy": config.sharding.strategy,
        f"{ACTOR}.grad_clip": config.optimizer.clip,
        f"{ACTOR}.ppo_mini_batch_size": config.prompts // config.minibatches,
        f"{ACTOR}.use_dynamic_bsz": packed,
        f"{ACTOR}.ppo_micro_batch_size_per_gpu": None if packed else config.micro,
        **({f"{ACTOR}.ppo_max_token_len_per_gpu": config.batch_tokens} if packed else {}),
        f"{ACTOR}.ulysses_sequence_parallel_size": config.sharding.sequence_parallel,
        f"{ACTOR}.use_torch_compile": not place.on_cpu,
        f"{ACTOR}.data_loader_seed": config.seed,
    }


def _at_once(config: VerlConfig, path: str) -> dict[str, Any]:
    """How much one device scores at once."""
    if config.batch_tokens:
        return {f"{path}_use_dynamic_bsz": True, f"{path}_max_token_len_per_gpu": config.batch_tokens}
    return {f"{path}_use_dynamic_bsz": False, f"{path}_micro_batch_size_per_gpu": config.micro}


def _rollout(config: VerlConfig, place: Place) -> dict[str, Any]:
    rollout = config.rollout
    engine = rollout.engine if rollout.engine != "auto" else ("k2core" if place.on_cpu else "vllm")
    found: dict[str, Any] = {
        "name": engine,
        "n": config.group,
        "temperature": config.temperature,
        "top_p": rollout.top_p,
        "prompt_length": config.max_prompt,
        "response_length": config.max_tokens,
        "max_model_len": config.whole,
        "max_num_seqs": rollout.max_sequences,
        "dtype": dtype_of(config, place),
        "gpu_memory_utilization": rollout.memory,
        "tensor_model_parallel_size": rollout.tensor_parallel,
        "enforce_eager": rollout.eager,
        "seed": config.seed,
        "val_kwargs.temperature": config.temperature,
        "val_kwargs.top_p": rollout.top_p,
        "val_kwargs.do_sample": True,
        # adapters are laid over the model's own weights, which the engine must then have; else it gets them all from the trainer
        "load_format": "safetensors" if config.model.lora is not None else "dummy",
    }
    if place.on_cpu:
        found |= {"agent.num_workers": 1, "free_cache_engine": False}
    settings = {f"actor_rollout_ref.rollout.{name}": value for name, value in found.items()}
    if engine == "k2core" and config.model.lora is not None:
        settings["actor_rollout_ref.model.lora.merge"] = True  # it takes whole weights
    return settings | _at_once(config, "actor_rollout_ref.rollout.log_prob")


def _reward(config: VerlConfig, place: Place, files: Files, grading: str) -> dict[str, Any]:
    reward = config.reward
    kwargs = {
        "pipeline": grading,
        "timeout": reward.timeout,
        "opened": reward.opened,
        "verifier": dict(reward.verifier),
        "errors": files.errors,
    }
    return {
        "reward.num_workers": reward.workers or (1 if place.on_cpu else 8),
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.name": "RewardManager",
        "reward.reward_manager.module.path": "pkg://k2core_trainer_verl.inside.manager",
        "reward.custom_reward_function.path": "pkg://k2core_trainer_verl.reward",
        "reward.custom_reward_function.name": "compute_score",
        "reward.custom_reward_function.reward_kwargs": kwargs,
    }


def _ray(config: VerlConfig, place: Place, files: Files) -> dict[str, Any]:
    """A cluster of our own on the CPU is told of resources that stand for processes: verl asks for a device each.

    The processes of a cluster that runs already do not inherit our environment: they are told.
    """
    told = {"VERL_FILE_LOGGER_PATH": files.metrics, "VERL_PLATFORM": "cpu" if place.on_cpu else "", **config.environment}
    told = {name: value for name, value in told.items() if value}
    found: dict[str, Any] = {"ray_kwargs.ray_init.runtime_env.env_vars": told}
    if config.cluster.ray:
        return {**found, "ray_kwargs.ray_init.address": config.cluster.ray}
    found["ray_kwargs.ray_init.include_dashboard"] = False
    if place.on_cpu:
        found |= {"ray_kwargs.ray_init.num_cpus": 32, "ray_kwargs.ray_init.num_gpus": place.gpus}
        found |= {"transfer_queue.backend.SimpleStorage.num_data_storage_units": 1}
    return found
