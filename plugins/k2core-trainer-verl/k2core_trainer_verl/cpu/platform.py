"""The CPU as a platform of verl: one device a process, gloo, and no memory of its own to manage."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from verl.plugin.platform import PlatformBase


def _nothing(*_: Any, **__: Any) -> None:
    """There is nothing to do on a CPU."""


def _resident(*_: Any, **__: Any) -> int:
    """Bytes of main memory that this process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory(*_: Any) -> tuple[int, int]:
    """Free and total bytes of main memory."""
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


def device_module() -> ModuleType:
    """What verl calls on `torch.cuda`, for the CPU: `torch.cpu` has some of it, the rest is about memory and kernels."""
    module = ModuleType("k2core_cpu_device")
    given: dict[str, Any] = {
        name: getattr(torch.cpu, name) for name in ("Event", "Stream", "current_stream", "stream", "synchronize")
    }
    given |= {
        "current_device": lambda: "cpu",
        "device_count": lambda: 1,
        "get_device_name": lambda *_: "cpu",
        "is_available": lambda: True,
        "is_initialized": lambda: False,
        "set_device": _nothing,
        "manual_seed": torch.manual_seed,
        "manual_seed_all": torch.manual_seed,
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda state, *_: torch.set_rng_state(state),
        "empty_cache": _nothing,
        "ipc_collect": _nothing,
        "set_per_process_memory_fraction": _nothing,
        "reset_peak_memory_stats": _nothing,
        "mem_get_info": _memory,
    }
    given |= dict.fromkeys(("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"), _resident)
    for name, value in given.items():
        setattr(module, name, value)
    return module


class CpuPlatform(PlatformBase):  # type: ignore[misc]
    """Chosen by `VERL_PLATFORM=cpu` alone, never found by itself: hosts of clusters with accelerators have CPUs, too."""

    def __init__(self) -> None:
        self._module = device_module()

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> ModuleType:
        return self._module

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"

    def current_device(self) -> Any:
        """verl hands this to `Tensor.to`, where a number would be a graphics card."""
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        """A process has one device."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Whatever was asked for has been done."""

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """Main memory has no such settings."""

    def empty_cache(self) -> None:
        """Main memory has no cache of ours."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        """No device profiler."""

    def profiler_stop(self) -> None:
        """No device profiler."""

    def ray_resource_name(self) -> str:
        """Ray schedules verl's workers by it; the trainer tells the cluster that it starts how many there are."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None:
        return None
