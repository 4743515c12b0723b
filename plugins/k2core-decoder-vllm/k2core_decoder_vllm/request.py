"""From a `DecodeRequest` to the prompt's tokens and vLLM's sampling parameters, after what vLLM must not see has been refused."""

from __future__ import annotations

import math
from typing import Any, Literal

from k2core.types import DecodeRequest

from .config import VllmConfig

SEEDS = 1 << 31


def check(request: DecodeRequest, most_logprobs: int) -> None:
    """Raise `ValueError` for a request that cannot be served, saying why."""
    if not request.messages:
        raise ValueError("the request has no messages")
    if request.continue_last and request.messages[-1].role != "assistant":
        raise ValueError(f"only an assistant's turn can be continued; the last message is of the {request.messages[-1].role}")
    ranges = (
        ("n", request.n, 1, math.inf),
        ("max_tokens", request.max_tokens, 1, 2**31 - 1),
        ("temperature", request.temperature, 0, 1e6),
        ("top_p", request.top_p, 0, 1),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}, it must be between {low} and {high}")
    if request.top_p == 0:
        raise ValueError("top_p is 0, which leaves no token; temperature 0 takes the likeliest one")
    if not 0 <= request.logprobs <= most_logprobs:
        raise ValueError(f"logprobs is {request.logprobs}, this engine gives at most {most_logprobs}; raise engine.max_logprobs")
    if not all(request.stop):
        raise ValueError("a stop string is empty")


def prompt(request: DecodeRequest, config: VllmConfig, tokenizer: Any) -> list[int]:
    """The prompt's tokens by the chat template. Raises `ValueError` with the template's own words where that refuses."""
    turns = [{"role": m.role, "content": m.content} for m in request.messages]
    going_on = request.continue_last and bool(turns[-1]["content"])
    if request.continue_last and not going_on:  # nothing to go on with: an ordinary request
        turns.pop()
    if not turns:
        raise ValueError("there is nothing but an empty turn to go on with")
    try:
        text = tokenizer.apply_chat_template(
            turns,
            chat_template=config.chat_template or None,
            tokenize=False,
            add_generation_prompt=not going_on,
            continue_final_message=going_on,
            **config.template_options,
        )
    except Exception as error:  # Jinja's, or the template's own `raise_exception`
        raise ValueError(f"the chat template refuses these messages: {error}") from error
    return list(tokenizer.encode(text, add_special_tokens=False))


def thinking(request: DecodeRequest, config: VllmConfig, tail: str) -> Literal["auto", "open", "off"]:
    """Where in the reasoning the answer begins; `tail` is the end of the prompt's text."""
    last = request.messages[-1].content if request.continue_last else ""
    if config.think != "off" and last:
        return "open" if last.rfind("<think>") > last.rfind("</think>") else "off"
    return "open" if config.think == "auto" and tail.rstrip().endswith("<think>") else config.think


def sampling(request: DecodeRequest, config: VllmConfig, index: int, room: int) -> dict[str, Any]:
    """vLLM's sampling parameters for choice `index`: each choice is a request of its own, seeded with `seed + index`.

    vLLM does the same with its own `n`, but refuses it for greedy sampling, and tells times and speculation for n = 1 only.
    """
    made: dict[str, Any] = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": config.top_k,
        "min_p": config.min_p,
        "max_tokens": min(request.max_tokens, room),
        "stop": list(request.stop),
    }
    if request.seed is not None:
        made["seed"] = (request.seed + index) % SEEDS
    if request.logprobs:
        made["logprobs"] = request.logprobs
    if request.json_schema is not None:
        made["json_schema"] = dict(request.json_schema)
    return made


def too_long(tokens: int, context: int) -> ValueError:
    return ValueError(
        f"the prompt has {tokens:,} tokens, the context only {context:,}; shorten it, or raise `context` of the decoder"
    )
