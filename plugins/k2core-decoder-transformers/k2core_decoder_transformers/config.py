"""Options of the decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from k2core.plugin import PluginConfig

from .speculation.config import SpeculationConfig


class LoraAdapter(BaseModel):
    """A LoRA adapter in peft's format."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str
    """Folder of the adapter, or a name such as `k2-nano`; `~` is expanded."""
    scale: float = 1.0
    """How strongly it is applied."""


class TransformersConfig(PluginConfig):
    model: str = "smollm2-135m-instruct"
    """A name that `k2 models list` shows, a GGUF file, a folder as transformers saves it, or a name on the model hub."""
    revision: str = ""
    """Branch, tag or commit of a model on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: bfloat16 where the device computes with it, otherwise float32."""
    device: str = "auto"
    """`auto`: a CUDA device where there is one, otherwise the CPU."""
    context: int = Field(default=4096, ge=16, le=1 << 24)
    """Tokens that one completion may take, prompt included; at most what the model was trained for."""
    parallel: int = Field(default=64, ge=1, le=4096)
    """Completions generated at once, over all calls; further ones wait their turn."""
    cache_mb: int = Field(default=2048, ge=1)
    """Memory for keys and values at most, in MiB; one completion of `context` tokens may always be made."""
    chunk: int = Field(default=256, ge=1, le=1 << 16)
    """Prompt tokens processed in one step, beside which the other completions go on."""
    prefix_mb: int = Field(default=256, ge=0)
    """Memory for the keys and values of earlier prompts at most, in MiB: another that begins alike is processed sooner."""
    threads: int = Field(default=0, ge=0, le=512)
    """Threads that compute on the CPU; 0 follows how many cores others leave free."""
    lora: tuple[LoraAdapter, ...] = ()
    """LoRA adapters applied on top of the model; needs the extra `lora`."""
    chat_template: str = ""
    """A Jinja chat template in place of the model's own."""
    think: Literal["auto", "open", "off"] = "auto"
    """Reasoning is what a leading `<think>…</think>` encloses; `open`: the chat template has begun it, which `auto` finds out."""
    top_k: int = Field(default=0, ge=0)
    """Sample from the k most likely tokens only; 0 leaves the choice to temperature and top_p of the request."""
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    """Sample only tokens at least this likely, relative to the likeliest; 0 leaves it to the request."""
    fused: bool = True
    """Use the decoder's own forward pass where it knows the architecture; otherwise transformers' modules, which are slower."""
    speculation: SpeculationConfig = SpeculationConfig()
    """Drafting of tokens that are kept only where they are what would have been drawn anyway."""
