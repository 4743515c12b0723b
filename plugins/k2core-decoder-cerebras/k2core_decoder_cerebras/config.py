"""Options of the decoder, checked before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from k2core.plugin import PluginConfig

_OWN_FIELDS = ("messages", "model", "n", "stream", "prediction")


class CerebrasConfig(PluginConfig):
    """Which model is asked, how it reasons, what it may draft from, and how long to wait."""

    model: str
    """Model name or endpoint id, required; names change, `client.models.list()` of the SDK tells them."""
    api_key_env: str = "CEREBRAS_API_KEY"
    """Name of the environment variable that holds the API key."""
    base_url: str = "https://api.cerebras.ai"
    """Address without `/v1`, which the SDK adds (a trailing one is taken off). http or https; certificates are always checked."""
    stream: bool = True
    """Ask for a stream. Without one, the tokens of a call that is cancelled or breaks are unknown and count as none."""
    reasoning_format: Literal["parsed", "text_parsed", "raw", "hidden", "none"] = "parsed"
    """How reasoning comes back: in a field of its own (`parsed`; `text_parsed` keeps log-probabilities in one list), within the
    text (`raw`), not at all but counted (`hidden`), or as the model's default has it (`none`)."""
    think: Literal["auto", "open", "off"] = "auto"
    """Reasoning within the text: `auto` takes a leading `<think>…</think>` out, `open` expects the text to start inside of it."""
    reasoning_effort: Literal["none", "low", "medium", "high"] | None = None
    """How much the model reasons; unset leaves it to the model."""
    disable_reasoning: bool | None = None
    """Switch reasoning off (or expressly on), for models that know this field rather than `reasoning_effort`."""
    clear_thinking: bool | None = None
    """Whether the reasoning of earlier turns is left out of the prompt, for models that know this field."""
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    """Priority of the requests; some models and accounts refuse the field."""
    queue_threshold: int | None = Field(default=None, ge=50, le=20000)
    """Milliseconds of expected queueing beyond which the service turns a `flex` or `auto` request away at once."""
    min_tokens: int | None = Field(default=None, ge=0)
    """Fewest tokens of each completion."""
    model_parameters: Mapping[str, Any] = {}
    """Parameters that the model itself declares."""
    predict: Literal["request", "siblings", "off"] = "request"
    """What is sent as `prediction`: what the request names, or else (`siblings`) the last text finished in the same run for the
    same role, or nothing (`off`). Rejected tokens are billed as if written."""
    predict_chars: int = Field(default=16000, ge=1)
    """Most characters of a prediction; a longer one is cut at its end."""
    cache_key: Literal["choices", "always", "never"] = "choices"
    """When requests of the same prompt share a `prompt_cache_key`: the choices of one call, all of them, or none."""
    on_limit: Literal["wait", "fail"] = "wait"
    """When the service has said that nothing is left of a rate limit: wait for its reset, or fail over to the kernel's retries and
    to other decoders at once, with the seconds it takes."""
    limit_wait: float = Field(default=60.0, ge=0)
    """Most seconds to wait so; a longer wait fails over."""
    extra: Mapping[str, Any] = {}
    """Merged into the request body last."""
    omit: tuple[str, ...] = ()
    """Body fields never to send, for models that refuse them: `seed`, `reasoning_format`, `stream_options`, …"""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds until a connection, with its TLS handshake, must stand."""
    first_timeout: float = Field(default=300.0, gt=0)
    """Seconds until the answer begins; covers the service's queue and reading of the prompt."""
    idle_timeout: float = Field(default=60.0, gt=0)
    """Seconds of silence within an answer."""
    total_timeout: float | None = Field(default=None, gt=0)
    """Seconds for one attempt altogether; none by default, since `[limits]` bounds the whole run."""
    connections: int = Field(default=256, ge=1)
    """Most requests in flight; further ones wait for their turn."""
    trust_env: bool = False
    """Use the proxies that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name."""
    warm_tcp_connection: bool = False
    """Let the SDK send its warming request when the pipeline starts; it takes up to a second when the service is away."""

    @field_validator("model", "api_key_env")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// address, such as https://api.cerebras.ai")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must hold no user or password: name an environment variable in api_key_env")
        if parts.query or parts.fragment:
            raise ValueError("must have no ?query and no #fragment")
        parts.port  # noqa: B018 # raises ValueError when it is no number in 0..65535
        bare = value.rstrip("/").removesuffix("/chat/completions").rstrip("/")
        return bare.removesuffix("/v1").rstrip("/")

    @field_validator("extra", "model_parameters")
    @classmethod
    def _sendable(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in _OWN_FIELDS:
            if name in value:
                raise ValueError(f"{name!r} is set elsewhere")
        try:
            json.dumps(value)
        except TypeError as error:
            raise ValueError(f"cannot be sent as JSON: {error}") from None
        return value
