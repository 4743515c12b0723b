"""Chats that are trained on beside the rewards, so that what they teach is not lost."""

from __future__ import annotations

from pathlib import Path

from k2core_training.data.preparing import Sources, Where, prepare
from k2core_training.data.rendering import Renderer
from k2core_training.modelling.policy import Policy
from k2core_training.modelling.supervised import accumulate
from k2core_training.ordering import batch_of
from k2core_training.working import Work

from .config import GrpoConfig


class Replay:
    """PPO-ptx's second term: -weight E[log p], a mean over tokens of chats (Ouyang et al. 2022, arXiv:2203.02155, eq. 2)."""

    def __init__(self, config: GrpoConfig, policy: Policy, folder: Path, work: Work) -> None:
        """Prepares the chats in `folder`, or finds them there. Raises as `prepare`, and tells what was left out."""
        self._config, self._policy = config, policy
        renderer = Renderer(policy.tokenizer, policy.eos)
        where = Where("trainer.replay.files", "trainer.replay", "trainer.replay.gate")
        sources = Sources(config.replay, config.replay.gate, renderer, None, seed=config.seed, where=where)
        self._data, _ = prepare(folder / "replay", sources, work.check)
        for skipped in self._data.skips():
            work.emit(skipped)

    def accumulate(self, update: int) -> float:
        """Add the gradient of the batch of an optimiser step, counted from 0. Returns the mean loss, in nats a token."""
        options = self._config.replay
        chosen = batch_of(update, len(self._data), options.batch, self._config.seed)
        most = max(self._config.batch_tokens, options.max_length)
        return accumulate(self._policy, [self._data[place] for place in chosen], most, options.weight).loss
