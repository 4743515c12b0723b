"""Options of the decoder, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from k2core import PluginConfig

_OURS = ("num_predict", "seed", "stop", "temperature", "top_p")


class OllamaConfig(PluginConfig):
    """Which server and model, and how long to wait."""

    base_url: str = "http://127.0.0.1:11434"
    """Address of the server, up to and without `/api`."""
    model: str = ""
    """Required: a model that `ollama list` shows, such as `qwen3:4b`."""
    api_key_env: str = ""
    """Name of the environment variable with a key, for servers that want one; empty sends none."""
    keep_alive: str = ""
    """How long the model stays loaded after a call, such as `10m`, or `-1m` for ever; empty leaves it to the server."""
    think: bool | Literal["low", "medium", "high"] | None = None
    """Whether, or how hard, a model that can reason does so; None leaves it to the model."""
    options: Mapping[str, Any] = {}
    """Further model options, such as `num_ctx`, `top_k` or `repeat_penalty`."""
    truncate: bool = False
    """Let the server drop the oldest messages of a prompt that is longer than `num_ctx`; else such a request is refused."""
    continue_last: bool = False
    """The model's template goes on with a last message of the assistant; without, such requests are refused."""
    connections: int = Field(default=16, ge=1)
    """Most requests in flight; what is beyond `OLLAMA_NUM_PARALLEL` waits in the server."""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds until a connection must stand."""
    first_timeout: float = Field(default=600.0, gt=0)
    """Seconds until the first byte of the answer; covers the queue, loading the model and reading the prompt."""
    idle_timeout: float = Field(default=60.0, gt=0)
    """Seconds of silence within an answer."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// address, such as http://127.0.0.1:11434")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, ?query or #fragment; a key belongs into api_key_env")
        if parts.path.rstrip("/").endswith(("/api", "/v1", "/api/chat")):
            raise ValueError("must end before /api; for the server's OpenAI-compatible /v1 use the decoder `openai`")
        return value.rstrip("/")

    @field_validator("options")
    @classmethod
    def _free(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in _OURS:
            if name in value:
                raise ValueError(f"{name!r} comes with each request; set it at the sampler")
        return value
