"""Sampling from a causal language model of transformers, many prompts at once. Pure in all but the generator's state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ask:
    """One prompt and how to go on with it."""

    prompt: tuple[int, ...]
    most: int
    """Tokens."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = -1
    """-1 keeps all."""


@dataclass(frozen=True)
class Answer:
    """Token ids, and the log-probability of each under the distribution that it was drawn from."""

    ids: list[int]
    logprobs: list[float]
    ended: bool
    """By an end token; it is among the ids."""


def processed(logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Log-probabilities after temperature, then top-k, then top-p.

    :param logits: [rows, vocabulary].
    :param temperature: [rows], above 0; `top_k`: [rows], 0 keeps all; `top_p`: [rows].
    :return: [rows, vocabulary], float32; minus infinity where nothing can be drawn.
    """
    scaled = logits.float() / temperature[:, None]
    if bool((top_k > 0).any()) or bool((top_p < 1).any()):
        ordered, places = scaled.sort(dim=-1, descending=True)
        rank = torch.arange(ordered.shape[-1])
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        out = ((top_k[:, None] > 0) & (rank >= top_k[:, None])) | ((before >= top_p[:, None]) & (top_p[:, None] < 1) & (rank > 0))
        scaled = scaled.masked_fill(torch.zeros_like(out).scatter(-1, places, out), -torch.inf)
    return scaled.log_softmax(-1)


def draw(logits: Tensor, asks: Sequence[Ask], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One token a row, [rows], and its log-probability, [rows]."""
    temperature = torch.tensor([ask.temperature for ask in asks])
    warm = torch.where(temperature > 0, temperature, 1.0)
    top_k, top_p = torch.tensor([max(ask.top_k, 0) for ask in asks]), torch.tensor([ask.top_p for ask in asks])
    logprobs = processed(logits, warm, top_k, top_p)
    drawn = torch.multinomial(logprobs.exp(), 1, generator=generator).squeeze(-1)
    chosen = torch.where(temperature > 0, drawn, logprobs.argmax(-1))
    return chosen, logprobs.gather(-1, chosen[:, None]).squeeze(-1)


@torch.inference_mode()
def answers(
    model: Any, asks: Sequence[Ask], ends: frozenset[int], generator: torch.Generator, stop: Callable[[], bool]
) -> list[Answer]:
    """Go on with all prompts side by side until each has ended, has its `most` tokens, or `stop` says so.

    Prompts are padded at the left and masked; a row that has ended is carried along and not looked at.
    """
    longest = max(len(ask.prompt) for ask in asks)
    ids = torch.tensor([[0] * (longest - len(ask.prompt)) + list(ask.prompt) for ask in asks])
    mask = torch.tensor([[0] * (longest - len(ask.prompt)) + [1] * len(ask.prompt) for ask in asks])
    found: list[tuple[list[int], list[float]]] = [([], []) for _ in asks]
    open_rows, cache = set(range(len(asks))), _cache(model)
    while open_rows and not stop():
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **cache)
        chosen, logprobs = draw(out.logits[:, -1], asks, generator)
        for row in list(open_rows):
            token = int(chosen[row])
            found[row][0].append(token)
            found[row][1].append(float(logprobs[row]))
            if token in ends or len(found[row][0]) >= asks[row].most:
                open_rows.discard(row)
        ids = chosen[:, None]
        mask = torch.cat([mask, torch.ones(len(asks), 1, dtype=mask.dtype)], dim=-1)
    return [Answer(tokens, logprobs, bool(tokens) and tokens[-1] in ends) for tokens, logprobs in found]


def _cache(model: Any) -> dict[str, Any]:
    """An empty cache, which the model fills, under the name that its version of transformers has for it."""
    from transformers import DynamicCache

    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return {name: DynamicCache(config=model.config)}
