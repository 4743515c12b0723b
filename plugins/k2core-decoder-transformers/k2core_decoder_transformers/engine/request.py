"""From a `DecodeRequest` to a job for the engine: checks, prompt tokens, and what each choice samples with."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

from k2core.types import DecodeRequest

if TYPE_CHECKING:
    from .core import Engine
    from .job import Job

MOST_LOGPROBS = 100
COLDEST = 1e-30
"""The lowest temperature other than 0: scores divided by less leave the range of float32."""


def check(request: DecodeRequest) -> None:
    """Raise `ValueError` for a request that cannot be served, saying why."""
    if not request.messages:
        raise ValueError("the request has no messages")
    if request.continue_last and request.messages[-1].role != "assistant":
        raise ValueError(f"only an assistant's turn can be continued; the last message is of the {request.messages[-1].role}")
    ranges = (
        ("n", request.n, 1, math.inf),
        ("max_tokens", request.max_tokens, 1, math.inf),
        ("temperature", request.temperature, 0, 1e6),
        ("top_p", request.top_p, 0, 1),
        ("logprobs", request.logprobs, 0, MOST_LOGPROBS),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}, it must be between {low} and {high}")


def prepare(job: Job, engine: Engine) -> None:
    """Fill in the job's prompt and choices, in the engine's thread. Raises `ValueError` where prompt or schema cannot be used."""
    from ..sampling.noise import Noise
    from ..sampling.text import Writer
    from ..sampling.warp import Warp
    from .job import Choice

    request, loaded = job.request, engine.loaded
    job.prompt = list(loaded.prompt_ids(request))
    if len(job.prompt) >= engine.context:
        raise ValueError(
            f"the prompt has {len(job.prompt):,} tokens, the context only {engine.context:,}; "
            "shorten it, or raise `context` of the decoder"
        )
    if not job.prompt:
        raise ValueError("the prompt is empty")
    job.most = min(request.max_tokens, engine.context - len(job.prompt))
    temperature = request.temperature if request.temperature >= COLDEST else 0.0
    warp = Warp(temperature, request.top_p, job.top_k, job.min_p)
    prediction = loaded.tokenizer(request.prediction, add_special_tokens=False)["input_ids"] if request.prediction else []
    seed = secrets.randbits(62) if request.seed is None else request.seed
    for index in range(request.n):
        constraint = engine.grammar().constraint(request.json_schema) if request.json_schema is not None else None
        noise, writer = Noise(seed + index), Writer(engine.vocabulary, request.stop)
        job.choices.append(Choice(engine.next_id(), job, index, warp, noise, writer, constraint, prediction))
    job.waiting.extend(job.choices)
