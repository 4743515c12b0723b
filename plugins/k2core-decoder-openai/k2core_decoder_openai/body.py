"""The body of a chat completion request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from k2core.toolkit.calls import offer_of, turn_of
from k2core.types import DecodeRequest

from .config import OpenAIConfig

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def body_of(request: DecodeRequest, config: OpenAIConfig) -> bytes:
    """The request as JSON. Sampling settings are always written out: servers have defaults of their own for what is missing."""
    body: dict[str, Any] = {
        **_turns(request, config),
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
    if stop := [text for text in request.stop if text]:  # servers refuse an empty one, or stop at once
        body["stop"] = stop
    if request.seed is not None:
        body["seed"] = request.seed
    if request.logprobs:
        body["logprobs"], body["top_logprobs"] = True, request.logprobs
    if config.token_ids:
        body["return_token_ids"] = True
    if config.prediction and request.prediction:
        body["prediction"] = {"type": "content", "content": request.prediction}
    if request.json_schema is not None:
        body["response_format"] = _response_format(request.json_schema)
    if request.tools is not None:
        body |= offer_of(request.tools)
    body.update(config.extra)
    for name in config.omit:
        body.pop(name, None)
    return _encode(body).encode()


def _turns(request: DecodeRequest, config: OpenAIConfig) -> dict[str, Any]:
    """The messages, and what makes the server go on with the last one. Raises `ValueError` where it is not known to do so."""
    messages = [turn_of(message) for message in request.messages]
    if not request.continue_last:
        return {"messages": messages}
    if config.continue_last == "none":
        raise ValueError(
            "asked to go on with an unfinished assistant turn: not every server can, and this decoder's option `continue_last` "
            'does not say how; set it to "vllm" (SGLang, too) or "llamacpp"'
        )
    if not messages or messages[-1]["role"] != "assistant":
        raise ValueError("only an assistant's turn can be continued, and the last message is none")
    if not messages[-1]["content"]:  # nothing to go on with: an ordinary request
        return {"messages": messages[:-1]}
    if config.continue_last == "llamacpp":
        return {"messages": messages}
    return {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}


def reading(request: DecodeRequest, config: OpenAIConfig) -> OpenAIConfig:
    """The options by which the answer is read: a turn that is continued itself tells whether it is within its reasoning."""
    prefix = request.messages[-1].content if request.continue_last and request.messages else ""
    if not prefix or config.think == "off":
        return config
    opening, closing = config.think_tags
    inside = prefix.rfind(opening) > prefix.rfind(closing)
    return config.model_copy(update={"think": "open" if inside else "off"})


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
