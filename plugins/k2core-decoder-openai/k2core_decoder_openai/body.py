"""The body of a chat completion request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from k2core.types import DecodeRequest

from .config import OpenAIConfig

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def body_of(request: DecodeRequest, config: OpenAIConfig) -> bytes:
    """The request as JSON. Sampling settings are always written out: servers have defaults of their own for what is missing."""
    body: dict[str, Any] = {
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "n": request.n,
        config.max_tokens_field: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stream": config.stream,
    }
    if config.model:
        body["model"] = config.model
    if config.stream:
        body["stream_options"] = {"include_usage": True}
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.logprobs:
        body["logprobs"], body["top_logprobs"] = True, request.logprobs
    if request.json_schema is not None:
        body["response_format"] = _response_format(request.json_schema)
    body.update(config.extra)
    for name in config.omit:
        body.pop(name, None)
    return _encode(body).encode()


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    answer = {"name": "answer", "schema": schema, "strict": _is_strict(schema)}
    return {"type": "json_schema", "json_schema": answer}


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI accepts the schema as a strict one: every object closed, every property required. Others ignore the flag."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            return False
        return all(map(_is_strict, properties.values()))
    return all(map(_is_strict, schema.values()))
