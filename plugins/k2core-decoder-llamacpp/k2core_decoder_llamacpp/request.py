"""From a `DecodeRequest` to the body of a chat request, after everything that llama.cpp must never see has been refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from k2core.types import DecodeRequest

from .config import LlamaCppConfig

SEEDS = 1 << 31
MOST_LOGPROBS = 100


def check(request: DecodeRequest, context: int, longest_token: int) -> None:
    """Raise `ValueError` for a request that cannot be served, saying why. Quick, however long the prompt is."""
    if not request.messages:
        raise ValueError("the request has no messages")
    if request.continue_last and request.messages[-1].role != "assistant":
        raise ValueError(f"only an assistant's turn can be continued; the last message is of the {request.messages[-1].role}")
    ranges = (
        ("n", request.n, 1, math.inf),
        ("max_tokens", request.max_tokens, 1, 2**31 - 1),
        ("temperature", request.temperature, 0, 1e6),
        ("top_p", request.top_p, 0, 1),
        ("logprobs", request.logprobs, 0, MOST_LOGPROBS),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}, it must be between {low} and {high}")
    size = sum(_check_text(m.content, f"the {m.role} message") for m in request.messages)
    for stop in request.stop:
        if not _check_text(stop, "a stop string"):
            raise ValueError("a stop string is empty")
    if request.json_schema is not None and "\\u0000" in json.dumps(request.json_schema):
        raise ValueError("the JSON schema contains a NUL character")
    if size // longest_token >= context:
        raise ValueError(too_long(f"at least {size // longest_token:,}", context))


def too_long(tokens: str, context: int) -> str:
    """The message for a prompt that does not fit."""
    return f"the prompt has {tokens} tokens, the context only {context:,}; shorten it, or raise `context` of the decoder"


def _check_text(text: str, what: str) -> int:
    """Bytes of a text that may go to C."""
    if (at := text.find("\0")) >= 0:
        raise ValueError(f"{what} contains a NUL character at position {at}")
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} is not valid Unicode (lone surrogate at position {error.start})") from error


def body(request: DecodeRequest, config: LlamaCppConfig, first: int, count: int) -> dict[str, Any]:
    """The request for `count` choices, of which the first is the `first` of the whole; llama.cpp seeds choice i with seed + i."""
    made: dict[str, Any] = {
        **_turns(request),
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "timings_per_token": True,
        "n": count,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": config.top_k,
        "min_p": config.min_p,
        "cache_prompt": config.reuse_prompts,
        "stop": list(request.stop),
        "reasoning_format": "none",  # `think` does it, for any template
    }
    if request.seed is not None:
        made["seed"] = (request.seed + first) % SEEDS
    if request.logprobs:
        made |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.json_schema is not None:
        made["response_format"] = {"type": "json_schema", "json_schema": {"schema": enforceable(request.json_schema)}}
    return made


def _turns(request: DecodeRequest) -> dict[str, Any]:
    """The messages. Nothing at all to continue is an ordinary request; llama.cpp would leave the start of the turn out."""
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    if not request.continue_last:
        return {"messages": messages}
    if not request.messages[-1].content:
        return {"messages": messages[:-1]}
    return {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}


def loose_patterns(schema: Any) -> Iterable[str]:
    """The patterns of a JSON schema that cannot be enforced: llama.cpp needs `^` and `$` around them."""
    if isinstance(schema, Mapping):
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and not _anchored(pattern):
            yield pattern
        for value in schema.values():
            yield from loose_patterns(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from loose_patterns(value)


def enforceable(schema: Any) -> Any:
    """The schema without those patterns: llama.cpp would drop them itself, and write to stderr that it did."""
    if isinstance(schema, Mapping):
        loose = {"pattern"} if isinstance(schema.get("pattern"), str) and not _anchored(schema["pattern"]) else set()
        return {key: enforceable(value) for key, value in schema.items() if key not in loose}
    return [enforceable(value) for value in schema] if isinstance(schema, list | tuple) else schema


def _anchored(pattern: str) -> bool:
    return pattern.startswith("^") and pattern.endswith("$")
