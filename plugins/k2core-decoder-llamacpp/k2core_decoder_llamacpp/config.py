"""Options of the decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from k2core.plugin import PluginConfig

from .speculation import Speculation


class LoraAdapter(BaseModel):
    """A LoRA adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str
    """GGUF file of the adapter, its folder in peft's format, or a name such as `k2-nano`; `~` is expanded."""
    scale: float = 1.0
    """How strongly it is applied."""


class LlamaCppConfig(PluginConfig):
    model: str = "smollm2-135m-instruct"
    """A name that `k2 models list` shows, fetched on first use, or the path of a GGUF file."""
    context: int = Field(default=4096, ge=64, le=1 << 24)
    """Tokens that one completion may take, prompt included, in steps of 256; times `parallel` it decides on the memory."""
    parallel: int = Field(default=4, ge=1, le=64)
    """Completions generated at once, over all calls; further ones wait their turn."""
    threads: int = Field(default=0, ge=0, le=512)
    """Threads that compute; 0 looks at how many cores are free, at the start and whenever the engine is idle."""
    lora: tuple[LoraAdapter, ...] = ()
    """LoRA adapters applied on top of the model."""
    chat_template: str = ""
    """A Jinja chat template in place of the model's own."""
    think: Literal["auto", "open", "off"] = "auto"
    """Reasoning is what a leading `<think>…</think>` encloses; `open`: the chat template has begun it, which `auto` finds out."""
    top_k: int = Field(default=0, ge=0)
    """Sample from the k most likely tokens only; 0 leaves the choice to temperature and top_p of the request."""
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    """Sample only tokens at least this likely, relative to the likeliest; 0 leaves it to the request."""
    speculation: Speculation = Speculation()
    """Guess tokens ahead and check them in one pass: faster where text repeats itself, and the same text."""
    reuse_prompts: bool = True
    """Skip the part of a prompt that a slot has just processed."""
    verbose: bool = False
    """Let llama.cpp write its log to stderr."""
