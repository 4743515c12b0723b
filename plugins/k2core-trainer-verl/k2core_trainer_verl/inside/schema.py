"""verl's own configuration, composed by Hydra, with our settings in their places; settings that it does not know are refused."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

from hydra import compose, initialize_config_module
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

PRIMARY = {"rl": "ppo_trainer", "sft": "sft_trainer_engine"}
GROUPS = frozenset({"model_engine"})
"""Choices that Hydra makes while it composes, before there is a place for any value."""
OPEN = ("ray_kwargs.ray_init", "reward.custom_reward_function.reward_kwargs")
"""Tables that verl hands on as they are, to Ray and to the reward function."""


def composed(stage: str, choices: Mapping[str, Any]) -> DictConfig:
    """verl's defaults for a stage, `rl` or `sft`."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(PRIMARY[stage], overrides=[f"{name}={value}" for name, value in choices.items()])


Fault: TypeAlias = tuple[str, str]
"""The place among the trainer's options, or nothing for all of them, and what is wrong there."""


def apply(config: DictConfig, settings: Mapping[str, Any], table: str = "") -> list[Fault]:
    """Set every dotted path; returns what is wrong.

    :param table: the trainer's table that the settings are from; those without one are made from other options.
    """
    faults: list[Fault] = []
    for path, value in settings.items():
        if fault := _unknown(config, path) or _unlike(OmegaConf.select(config, path, throw_on_missing=False), value):
            faults.append((f"{table}.{path}", fault) if table else ("", f"{path}: {fault}"))
        else:
            with open_dict(config):
                OmegaConf.update(config, path, value, merge=isinstance(value, Mapping), force_add=True)
    return faults


def _unknown(config: DictConfig, path: str) -> str:
    """Why the schema has no such place, or nothing."""
    if any(path == table or path.startswith(f"{table}.") for table in OPEN):
        return ""
    node: Any = config
    parts = path.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, DictConfig):
            return f"{'.'.join(parts[:depth])} is no table of verl's"
        names = _names(node)
        if part not in names:
            if depth and not [name for name in node if name != "_target_"] and "_target_" not in node:
                return ""  # an empty table is handed on as it is
            near = difflib.get_close_matches(part, sorted(names), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(names)) or 'none'}"
            return f"verl has no setting {part!r} in {'.'.join(parts[:depth]) or 'its configuration'}; {hint}"
        if part not in node or OmegaConf.is_missing(node, part) or node._get_node(part)._is_none():
            return ""  # only the type declares it, or it is empty by default: what is below is checked by verl
        node = OmegaConf.select(node, part, throw_on_resolution_failure=False)
    return ""


def _names(node: DictConfig) -> set[str]:
    """What the table holds, and what the type behind it could hold."""
    names = {str(name) for name in node}
    target = node.get("_target_") if "_target_" in node else None
    if target:
        module, _, name = str(target).rpartition(".")
        kind = getattr(importlib.import_module(module), name, None)
        names |= {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    return names


def _unlike(default: Any, value: Any) -> str:
    """Why the value cannot stand where the default stands, as far as their kinds tell; verl's own checks come after."""
    if isinstance(default, bool) and not isinstance(value, bool):
        return f"must be true or false, not {value!r}"
    if isinstance(default, int | float) and not isinstance(default, bool):
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric and value is not None and not isinstance(value, str):
            return f"must be a number, not {value!r}"
    if isinstance(default, DictConfig) and not isinstance(value, Mapping) and value is not None:
        return f"is a table, not {value!r}"
    if isinstance(default, str) and isinstance(value, Mapping | bool):
        return f"must be a text, not {value!r}"
    if isinstance(default, ListConfig) and isinstance(value, Mapping | bool):
        return f"must be a list, not {value!r}"
    return ""


def judged(stage: str, config: DictConfig) -> list[Fault]:
    """What verl itself says against the configuration. What it only warns of goes where warnings go."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            _instantiate(stage, config)
    except Exception as error:  # whatever it is, it is verl's word on the configuration
        why = " ".join(str(error).split())
        return [("", f"verl refuses the configuration: {type(error).__name__}: {why}")]
    return []


def _instantiate(stage: str, config: DictConfig) -> None:
    """Have verl check the whole, and make its own records of the parts."""
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    if stage == "sft":
        for part in (config.engine, config.optim, config.checkpoint):
            omega_conf_to_dataclass(part)
        return
    from verl.trainer.ppo.utils import need_critic, need_reference_policy

    validate_config(config, need_reference_policy(config), need_critic(config))
    omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    omega_conf_to_dataclass(config.algorithm)
