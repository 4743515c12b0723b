"""The target: what it holds likely at each position of its rollouts, and what it would draw there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from k2core_decoder_transformers import LoraAdapter, TransformersConfig
from k2core_decoder_transformers.loading import load
from k2core_decoder_transformers.loading.loaded import Loaded
from k2core_decoder_transformers.sampling.drawing import draw_together
from k2core_decoder_transformers.sampling.noise import Noise
from k2core_decoder_transformers.sampling.warp import Warp
from k2core_training.modelling.config import ModelOptions
from k2core_training.modelling.forward import forward_for, head_of
from k2core_training.modelling.loading import loading
from k2core_training.modelling.packed import Packed
from k2core_training.saving import replacing
from k2core_training.working import Work
from torch import Tensor

from .loss import PART, Top, Whole
from .rollouts import Rollout, packs


def loaded(options: ModelOptions, work: Work) -> Loaded:
    """The target with its adapter merged. What is wrong with its options is a `ConfigError`."""
    if options.threads:
        torch.set_num_threads(options.threads)
    adapters = (LoraAdapter(path=options.adapter),) if options.adapter else ()
    config = TransformersConfig(
        model=options.model,
        revision=options.revision,
        dtype=options.dtype,
        device=options.device,
        chat_template=options.chat_template,
        context=1 << 24,
        lora=adapters,
    )
    with loading():
        return load(config, work.stop)


class Target:
    """Scores rollouts, without gradients."""

    def __init__(self, model: Any, together: int, work: Work) -> None:
        self._forward, self._head = forward_for(model, False), head_of(model)
        self._together, self._work = together, work

    def whole(self, batch: Packed) -> Whole:
        """All that it holds likely in a batch."""
        with torch.no_grad():
            return Whole(self._forward(batch), self._head.weight)

    def top(self, rollouts: Sequence[Rollout], count: int, folder: Path) -> list[Top]:
        """The likeliest tokens of every rollout, computed once and kept in a folder."""
        from safetensors.torch import load_file, save_file

        file = folder / "top.safetensors"
        sizes = [len(one.ids) for one in rollouts]
        if file.is_file():
            kept = load_file(file)
            if kept["sizes"].tolist() == sizes and kept["ids"].shape[1] == count:
                return [Top(*parts) for parts in zip(_split(kept["ids"], sizes), _split(kept["probs"], sizes), strict=True)]
        found = self._top(rollouts, count)
        with replacing(folder) as scratch:
            tensors = {"ids": torch.cat([one.ids for one in found]), "probs": torch.cat([one.probs for one in found])}
            save_file({**tensors, "sizes": torch.tensor(sizes)}, scratch / file.name)
        return found

    def _top(self, rollouts: Sequence[Rollout], count: int) -> list[Top]:
        found: list[Top] = []
        for batch in self._batches(rollouts):
            probs, ids = (torch.cat(parts) for parts in zip(*(logits.topk(count) for logits in self._logits(batch)), strict=True))
            probs = probs.softmax(-1).half()
            found += [Top(*each) for each in zip(_split(ids.int(), batch.counts), _split(probs, batch.counts), strict=True)]
        return found

    def drawn(self, rollouts: Sequence[Rollout], temperature: float) -> list[list[int]]:
        """What it would draw at each position of each rollout, by the noise of the rollout's place among them."""
        return drawn(self._forward, self._head.weight, rollouts, temperature, self._together)

    def _batches(self, rollouts: Sequence[Rollout]) -> Any:
        sequences = [one.sequence for one in rollouts]
        for members in packs([len(s.ids) for s in sequences], self._together):
            self._work.check()
            yield Packed.of([sequences[place] for place in members], self._head.weight.device)

    @torch.no_grad()
    def _logits(self, batch: Packed) -> list[Tensor]:
        weight = self._head.weight
        hidden, step = self._forward(batch), max(1, PART // (4 * len(weight)))
        return [(hidden[at : at + step] @ weight.t()).float() for at in range(0, len(hidden), step)]


def _split(rows: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Consecutive parts of so many rows."""
    return torch.split(rows, list(sizes))


@torch.no_grad()
def drawn(forward: Any, weight: Tensor, rollouts: Sequence[Rollout], temperature: float, together: int) -> list[list[int]]:
    """What a model would draw at each position of each rollout, by coupled sampling: any model gets the same noise there.

    Two models that draw the same token there are what speculation accepts (`k2core_decoder_transformers.speculation.draft_model`).
    """
    found: list[list[int]] = []
    step = max(1, PART // (4 * len(weight)))
    for members in packs([len(one.prompt) + len(one.ids) for one in rollouts], together):
        batch = Packed.of([rollouts[place].sequence for place in members], weight.device)
        keys = [Noise(place).key(at) for place in members for at in range(len(rollouts[place].ids))]
        hidden, tokens = forward(batch), list[int]()
        for at in range(0, len(hidden), step):
            logits = (hidden[at : at + step] @ weight.t()).float()
            some = keys[at : at + step]
            tokens += draw_together(logits, [Warp(temperature)] * len(some), some)
        for count in batch.counts:
            found.append(tokens[:count])
            tokens = tokens[count:]
    return found
