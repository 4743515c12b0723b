"""The body of one request to `/api/chat`."""

from __future__ import annotations

import json
from typing import Any

from k2core import DecodeRequest

from .config import OllamaConfig


def body_of(request: DecodeRequest, index: int, config: OllamaConfig) -> bytes:
    """The request for choice `index` as JSON. Raises `ValueError` for what the API cannot do."""
    if not request.messages:
        raise ValueError("a request without messages only loads the model; say something")
    if request.continue_last and not (config.continue_last and request.messages[-1].role == "assistant"):
        raise ValueError(
            "asked to go on with an unfinished assistant turn: some models' templates do; if this one's does, set continue_last"
        )
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "stream": True,
        "truncate": config.truncate,
        "shift": config.truncate,
        "options": {**config.options, **_sampling(request, index)},
    }
    if request.json_schema is not None:
        body["format"] = request.json_schema
    if config.keep_alive:
        body["keep_alive"] = config.keep_alive
    if config.think is not None:
        body["think"] = config.think
    if request.logprobs:
        body["logprobs"], body["top_logprobs"] = True, request.logprobs
    return json.dumps(body, separators=(",", ":")).encode()


def _sampling(request: DecodeRequest, index: int) -> dict[str, Any]:
    """Always written out: a Modelfile has defaults of its own for what is missing."""
    options: dict[str, Any] = {
        "num_predict": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": [text for text in request.stop if text],
    }
    if request.seed is not None:
        options["seed"] = request.seed + index
    return options
