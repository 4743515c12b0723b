"""The arguments of a chat completion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from k2core.toolkit.calls import offer_of, turn_of
from k2core.types import DecodeRequest

from .config import CerebrasConfig

MOST_STOPS = 4
"""Stop strings that the service takes."""


def body_of(request: DecodeRequest, config: CerebrasConfig, index: int, prediction: str) -> dict[str, Any]:
    """Arguments for choice `index`; fields that the configuration adds are in `extra_body`.

    Raises `ValueError` for what the service cannot do: going on with an assistant's turn, more than four stop strings.
    """
    stops = [stop for stop in request.stop if stop]
    if len(stops) > MOST_STOPS:
        raise ValueError(f"Cerebras takes at most {MOST_STOPS} stop strings, and {len(stops)} were asked for")
    body: dict[str, Any] = {
        "model": config.model,
        "messages": _turns(request),
        "max_completion_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "reasoning_format": _format(request, config),
        **_settings(config),
    }
    if config.stream:
        body["stream_options"] = {"include_usage": True}
    if stops:
        body["stop"] = stops
    if request.seed is not None:
        body["seed"] = request.seed + index
    if request.logprobs:
        body["logprobs"], body["top_logprobs"] = True, request.logprobs
    if request.json_schema is not None:
        body["response_format"] = _response_format(request.json_schema)
    if request.tools is not None:
        body |= offer_of(request.tools)
    if prediction:
        body["prediction"] = {"type": "content", "content": prediction}
    if config.cache_key == "always" or (config.cache_key == "choices" and request.n > 1):
        body["prompt_cache_key"] = _prompt_hash(request)
    kept = {name: value for name, value in body.items() if name not in config.omit and name not in config.extra}
    return {**kept, "extra_body": {name: value for name, value in config.extra.items() if name not in config.omit}}


def left_out(request: DecodeRequest, config: CerebrasConfig, prediction: str) -> list[str]:
    """What the documentation says does not go together, and what is done about it, in words for a warning."""
    found = []
    if prediction and request.logprobs:
        found.append("prediction left out: predicted outputs do not go with logprobs")
    if prediction and (request.tools or config.extra.get("tools")):
        found.append("prediction left out: predicted outputs do not go with tools")
    if request.json_schema is not None and config.reasoning_format == "raw":
        found.append('reasoning_format "raw" left out, "parsed" sent: raw does not go with a JSON schema')
    if request.json_schema is not None and not is_strict(request.json_schema):
        found.append("the JSON schema is sent as not strict: an object of it is open, or has properties that are not required")
    return found


def _format(request: DecodeRequest, config: CerebrasConfig) -> str:
    return "parsed" if request.json_schema is not None and config.reasoning_format == "raw" else config.reasoning_format


def _settings(config: CerebrasConfig) -> dict[str, Any]:
    """What the configuration sets for all requests, as far as it does."""
    names = ("reasoning_effort", "disable_reasoning", "clear_thinking", "service_tier", "min_tokens")
    settings = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    if config.model_parameters:
        settings["model_parameters"] = dict(config.model_parameters)
    if config.queue_threshold is not None:
        settings["extra_headers"] = {"queue_threshold": str(config.queue_threshold)}
    return settings


def _turns(request: DecodeRequest) -> list[dict[str, Any]]:
    messages = [turn_of(message) for message in request.messages]
    if not request.continue_last:
        return messages
    if messages and messages[-1] == {"role": "assistant", "content": ""}:  # nothing to go on with: an ordinary request
        return messages[:-1]
    raise ValueError(
        "asked to go on with an unfinished assistant turn: Cerebras' chat API documents no way to; "
        "use a decoder that can, such as openai with vLLM, for step-level search"
    )


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    answer = {"name": "answer", "schema": dict(schema), "strict": is_strict(schema)}
    return {"type": "json_schema", "json_schema": answer}


def is_strict(schema: Any) -> bool:
    """Whether the service enforces the schema token by token: every object closed, every property required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            return False
        return all(map(is_strict, properties.values()))
    return all(map(is_strict, schema.values()))


def _prompt_hash(request: DecodeRequest) -> str:
    turns = json.dumps([[m.role, m.content] for m in request.messages]).encode()
    return "k2core-" + hashlib.blake2b(turns, digest_size=12).hexdigest()
