"""Options of the decoder, checked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from k2core.plugin import PluginConfig

_SECRET_HEADER = re.compile(r"authorization|cookie|key|token|secret|password", re.IGNORECASE)
_FIXED_FIELDS = ("messages", "n", "stream")


class OpenAIConfig(PluginConfig):
    """Where the endpoint is, what it wants in a request, and how long to wait for it."""

    base_url: str = "http://127.0.0.1:8000/v1"
    """Address up to, and without, `/chat/completions`; most end in `/v1`. http or https; certificates are always checked."""
    model: str = ""
    """Model name to ask for. Empty sends none, which servers of one model (vLLM, llama.cpp) accept."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key. Empty sends no key."""
    headers: Mapping[str, str] = {}
    """Further request headers. No secrets: the configuration is written to traces."""
    headers_env: Mapping[str, str] = {}
    """Further request headers whose values are secret: header to name of an environment variable."""
    stream: bool = True
    """Ask for a stream. Without one, the tokens of a call that is cancelled or breaks are unknown and count as none."""
    think: Literal["auto", "open", "off"] = "auto"
    """`auto` takes a leading `<think>…</think>` out of the text; `open` is for chat templates that open the block themselves, so
    that the text starts inside it; `off` leaves the text alone. Reasoning fields of the API are understood in any case."""
    think_tags: tuple[str, str] = ("<think>", "</think>")
    """What opens and closes a block of reasoning."""
    continue_last: Literal["none", "vllm", "llamacpp"] = "none"
    """How the server is asked to go on with an unfinished assistant turn, as step-level search does: `vllm` (SGLang, too) sends
    `continue_final_message`, `llamacpp` the turn alone, which llama.cpp's server goes on with; `none` refuses such requests."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name under which the server takes the limit of new tokens; OpenAI's own reasoning models want `max_completion_tokens`."""
    token_ids: bool = False
    """Ask for the tokens' numbers (vLLM's `return_token_ids`): exact counts a choice, and `id` in log-probabilities."""
    prediction: bool = False
    """Send what a request predicts of its answer, as OpenAI's predicted outputs; other servers may refuse the field."""
    extra: Mapping[str, Any] = {}
    """Merged into the request body last: `reasoning_effort`, `chat_template_kwargs`, `top_k`, …"""
    omit: tuple[str, ...] = ()
    """Body fields never to send, for servers that refuse them: `seed`, `top_p`, `stream_options`, …"""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds until a connection, with its TLS handshake, must stand."""
    first_timeout: float = Field(default=600.0, gt=0)
    """Seconds until the first byte of the answer; covers the server's queue and reading of the prompt."""
    idle_timeout: float = Field(default=60.0, gt=0)
    """Seconds of silence within an answer."""
    total_timeout: float | None = Field(default=None, gt=0)
    """Seconds for one attempt altogether; none by default, since `[limits]` bounds the whole run."""
    connections: int = Field(default=256, ge=1)
    """Most requests in flight; further ones wait for their turn."""
    trust_env: bool = False
    """Use the proxies that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// address, such as https://api.example.com/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must hold no user or password: name an environment variable in api_key_env or headers_env")
        if parts.query or parts.fragment:
            raise ValueError("must have no ?query and no #fragment")
        if parts.path.rstrip("/").endswith("/chat/completions"):
            raise ValueError("must end before /chat/completions")
        parts.port  # noqa: B018 # raises ValueError when it is no number in 0..65535
        return value.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _public(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if _SECRET_HEADER.search(name):
                raise ValueError(f"{name!r} looks like a secret: name an environment variable for it in headers_env or api_key_env")
        return value

    @field_validator("extra")
    @classmethod
    def _own(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in _FIXED_FIELDS:
            if name in value:
                raise ValueError(f"{name!r} is the kernel's to fill in")
        try:
            json.dumps(value)
        except TypeError as error:
            raise ValueError(f"cannot be sent as JSON: {error}") from None
        return value

    @field_validator("think_tags")
    @classmethod
    def _tags(cls, value: tuple[str, str]) -> tuple[str, str]:
        if not all(value):
            raise ValueError("both tags must be non-empty")
        return value
