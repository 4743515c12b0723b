"""A decoder that samples from a tiny random model, rightly or wrongly."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
from k2core_models import loading

from k2core import Completion, DecodeRequest, Plugin, PluginConfig, Registry, Run, hookimpl
from k2core.types import TokenLogprob

TINY = Path(__file__).parents[2] / "k2core-decoder-transformers" / "tests" / "tiny.py"


def tiny() -> ModuleType:
    if not TINY.exists():
        pytest.skip("the tests of k2core-decoder-transformers are not here")
    spec = importlib.util.spec_from_file_location("certify_tiny", TINY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TinyConfig(PluginConfig):
    model: str = ""
    """Folder; required."""
    wrong: Literal["", "likeliest", "flattened", "temperature", "top-p", "draft", "greedy"] = ""
    """What is wrong with it."""
    tell: Literal["ids", "texts", "nothing"] = "ids"
    """What it tells about its tokens."""
    salt: int = 0
    """Changes what a seed stands for."""


@cache
def _loaded(model: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    with loading:
        return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).train(False), AutoTokenizer.from_pretrained(model)


class TinyDecoder(Plugin):
    config: TinyConfig

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        prompt, made = await asyncio.to_thread(self._all, request)
        run.meter(prompt_tokens=prompt, completion_tokens=sum(c.tokens for c in made))
        for index, one in enumerate(made):
            run.delta(one.text, index, tokens=one.tokens)
        return made

    def _all(self, request: DecodeRequest) -> tuple[int, list[Completion]]:
        import torch
        from transformers import DynamicCache

        model, words = _loaded(self.config.model)
        chat = [{"role": m.role, "content": m.content} for m in request.messages]
        prompt = words.encode(words.apply_chat_template(chat, add_generation_prompt=True, tokenize=False), add_special_tokens=False)
        dice = torch.Generator().manual_seed((request.seed or 0) * 7 + self.config.salt)
        ids: list[list[int]] = [[] for _ in range(request.n)]
        logs: list[list[float]] = [[] for _ in range(request.n)]
        cache, feed = DynamicCache(config=model.config), torch.tensor([prompt] * request.n)
        with torch.inference_mode():
            for _ in range(request.max_tokens):
                # the cache by its place: releases of transformers differ in its name
                logits = model(feed, None, None, cache, logits_to_keep=1).logits[:, -1].double()
                token = self._draw(logits, request.temperature, dice)
                true = torch.log_softmax(logits, -1).gather(1, token[:, None])[:, 0]
                for i in range(request.n):
                    if not ids[i] or ids[i][-1] != 2:
                        ids[i].append(int(token[i]))
                        logs[i].append(float(true[i]))
                feed = token[:, None]
        return len(prompt), [self._completion(words, a, b, request) for a, b in zip(ids, logs, strict=True)]

    def _draw(self, logits: Any, temperature: float, dice: Any) -> Any:
        import torch

        p, wrong = torch.softmax(logits, -1), self.config.wrong
        if temperature == 0:
            return logits.topk(2).indices[:, 1] if wrong == "greedy" else logits.argmax(-1)
        biased = torch.rand(len(p), generator=dice) < 0.05
        if wrong == "likeliest":
            p = torch.where(biased[:, None], torch.nn.functional.one_hot(p.argmax(-1), p.shape[1]).double(), p)
        elif wrong == "flattened":
            p = torch.where(biased[:, None], torch.softmax(logits / 3, -1), p)
        elif wrong == "temperature":
            p = torch.softmax(logits / 0.9, -1)
        elif wrong == "draft":
            p = torch.softmax(logits * 0.8, -1)
        elif wrong == "top-p":
            ordered, order = p.sort(-1, descending=True)
            kept = torch.where(ordered.cumsum(-1) - ordered < 0.98, ordered, torch.zeros_like(ordered))
            p = torch.zeros_like(p).scatter(1, order, kept)
        return torch.multinomial(p, 1, generator=dice)[:, 0]

    def _completion(self, words: Any, ids: list[int], logs: list[float], request: DecodeRequest) -> Completion:
        ended = ids[-1] == 2
        text = words.decode(ids[:-1] if ended else ids)
        told = [
            TokenLogprob(token=words.decode([i]), logprob=value, id=i if self.config.tell == "ids" else None)
            for i, value in zip(ids, logs, strict=True)
        ]
        logprobs = None if self.config.tell == "nothing" else tuple(told)
        return Completion(
            text=text, tokens=len(ids), finish="stop" if ended else "length", stopped="" if ended else None, logprobs=logprobs
        )


def registry() -> Registry:
    made = Registry()
    made.add("decoder", "tiny", TinyDecoder)
    return made
