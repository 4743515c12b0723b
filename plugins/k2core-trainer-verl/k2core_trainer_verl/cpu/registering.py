"""What verl must be told of the CPU."""

from __future__ import annotations

import functools
from typing import Any

ROLLOUT = "k2core"


def register() -> None:
    """Make platform, engines and rollout known, once a process. verl is being imported when this is called."""
    import torch.distributed
    from verl.plugin.platform import PlatformRegistry

    from .platform import CpuPlatform

    PlatformRegistry.register(platform="cpu")(CpuPlatform)
    torch.distributed.init_process_group = gloo_once(torch.distributed.init_process_group)
    _rollout()
    _engines()


def _rollout() -> None:
    import verl.workers.rollout.base as base
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    def load() -> Any:
        from .rollout import CpuReplica

        return CpuReplica

    RolloutReplicaRegistry.register(ROLLOUT, load)
    base._ROLLOUT_REGISTRY[ROLLOUT, "async"] = f"{__package__}.rollout.Handover"


def _engines() -> None:
    """verl's FSDP engines run on the CPU as they are; they are only registered for accelerators."""
    import verl.workers.engine  # noqa: F401 (registers them)
    from verl.workers.engine.base import EngineRegistry

    for backends in EngineRegistry._engines.values():
        for name in ("fsdp", "fsdp2"):
            by_device = backends.get(name, {})
            if "cuda" in by_device:
                by_device.setdefault("cpu", by_device["cuda"])


def gloo_once(initialise: Any) -> Any:
    """`init_process_group` that takes verl's `cpu:gloo,cpu:gloo` for the `cpu:gloo` that it means: torch refuses a device twice."""

    @functools.wraps(initialise)
    def once(backend: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(backend, str) and ":" in backend:
            backend = ",".join(dict.fromkeys(backend.split(",")))
        if backend == "cpu:gloo":
            kwargs.pop("device_id", None)
        return initialise(backend, *args, **kwargs)

    return once
