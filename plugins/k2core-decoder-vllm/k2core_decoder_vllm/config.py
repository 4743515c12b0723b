"""Options of the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from k2core.plugin import PluginConfig


class VllmConfig(PluginConfig):
    """What vLLM loads and how it samples. Everything else that vLLM's engine can be told goes into `engine`."""

    model: str = ""
    """Required: a folder in the form of Hugging Face's, or a name on the hub."""
    context: int = Field(default=0, ge=0)
    """Tokens of prompt and completion together; 0 takes what the model was made for."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """Devices that one copy of the model is spread over."""
    data_parallel_size: int = Field(default=1, ge=1)
    """Copies of the model."""
    distributed_executor_backend: Literal["", "mp", "ray", "uni", "external_launcher"] = ""
    """How vLLM runs its workers; empty leaves it to vLLM, `ray` spreads them over a cluster."""
    speculative: Mapping[str, Any] = {}
    """vLLM's `speculative_config`: `{method = "ngram", num_speculative_tokens = 4, …}`. Check it with `k2 certify`."""
    lora: Mapping[str, str] = {}
    """LoRA adapters to be had: name to folder."""
    adapter: str = ""
    """The one of `lora` that this decoder answers with; empty uses the model as it is."""
    top_k: int = Field(default=0, ge=0)
    """Sample from the k most likely tokens only; 0 leaves the choice to temperature and top_p of the request."""
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    """Sample only tokens at least this likely, relative to the likeliest; 0 leaves it to the request."""
    think: Literal["auto", "open", "off"] = "auto"
    """Reasoning is what a leading `<think>…</think>` encloses; `open`: the chat template has begun it, which `auto` finds out."""
    chat_template: str = ""
    """A Jinja chat template in place of the model's own."""
    template_options: Mapping[str, Any] = {}
    """Variables for the chat template, such as `enable_thinking`."""
    engine: Mapping[str, Any] = {}
    """Any further argument of vLLM's `AsyncEngineArgs`, such as `dtype`, `enforce_eager`, `gpu_memory_utilization`."""
    environment: Mapping[str, str] = {}
    """Environment variables while the engine starts, for it and its processes, such as `VLLM_CPU_KVCACHE_SPACE`. No secrets."""
    start_timeout: float = Field(default=900.0, gt=0)
    """Seconds that the engine may take to start; loading and compiling a large model takes minutes."""
    verbose: bool = False
    """Let vLLM write its log."""

    @field_validator("environment")
    @classmethod
    def _own_variables(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if not name or "=" in name or "\0" in name:
                raise ValueError(f"{name!r} is no name of an environment variable")
        return value

    @model_validator(mode="after")
    def _adapter_is_there(self) -> VllmConfig:
        if self.adapter and self.adapter not in self.lora:
            raise ValueError(f"adapter {self.adapter!r} is not under lora, which has: {', '.join(self.lora) or 'none'}")
        return self

    def shared(self) -> str:
        """What two decoders must have in common to use one engine, in words that can be compared."""
        return self.model_dump_json(exclude={"adapter", "top_k", "min_p", "think", "chat_template", "template_options"})
