"""From samples to an optimiser step. Everything here computes, in the training's thread."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from k2core_training.modelling.head import Scored
from k2core_training.modelling.packed import Packed
from k2core_training.modelling.policy import Policy
from k2core_training.optimizing import Optimizer
from k2core_training.packing import TokenSequence, pack
from torch import Tensor

from . import losses
from .advantages import advantages
from .config import GrpoConfig
from .replay import Replay
from .rollouts import Sample


@dataclass
class Sums:
    """Of values over tokens, for the means that are logged."""

    tokens: int = 0
    totals: dict[str, float] = field(default_factory=dict)

    def add(self, **values: Tensor) -> None:
        """Of [tokens] each, all equally many."""
        self.tokens += len(next(iter(values.values())))
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value.detach().float().sum())

    def means(self) -> dict[str, float]:
        return {name: total / self.tokens for name, total in self.totals.items()}


class Updater:
    """Trains a policy on the samples of a step."""

    def __init__(
        self,
        policy: Policy,
        optimizer: Optimizer,
        config: GrpoConfig,
        horizon: int,
        reference: Policy | None = None,
        replay: Replay | None = None,
    ) -> None:
        """`horizon`: the most tokens of a completion; `reference`: what training began with, where there is a KL term."""
        self._policy, self._optimizer, self._config, self._horizon = policy, optimizer, config, horizon
        self._reference, self._replay = reference, replay

    def update(self, samples: Sequence[Sample], step: int) -> dict[str, float]:
        """A pass over the samples for each epoch, an optimiser step for each minibatch. Returns what to log."""
        config, sums, info = self._config, Sums(), dict[str, float]()
        self._weigh(samples)
        several = config.minibatches * config.epochs > 1
        old = self._scored(self._policy, samples) if several else None
        reference = self._scored(self._reference, samples) if self._reference else None
        found, replayed = list[float](), list[float]()
        first = (step - 1) * config.minibatches * config.epochs
        for place, chosen in enumerate(self._minibatches(len(samples), step)):
            found.append(self._accumulate(samples, chosen, old, reference, sums))
            if self._replay:
                replayed.append(self._replay.accumulate(first + place))
            done = self._optimizer.step()
            info = {"lr": done.lr, "grad_norm": done.grad_norm, "bad_gradients": info.get("bad_gradients", 0) + done.skipped}
        means = {"loss": fmean(found)} | ({"replay_loss": fmean(replayed)} if replayed else {})
        return {**means, **info, "trained_tokens": sums.tokens, **sums.means()}

    def _weigh(self, samples: Sequence[Sample]) -> None:
        rewards = torch.tensor([sample.reward for sample in samples])
        groups = torch.tensor([sample.group for sample in samples])
        for sample, value in zip(samples, advantages(rewards, groups, self._config.loss.advantage).tolist(), strict=True):
            sample.advantage = value

    def _minibatches(self, count: int, step: int) -> Iterator[list[int]]:
        """Indices of samples; in another order each epoch where there are several."""
        config = self._config
        for epoch in range(config.epochs):
            order = list(range(count))
            if config.minibatches > 1:
                random.Random(f"{config.seed}/{step}/{epoch}").shuffle(order)
            size = -(-count // config.minibatches)
            yield from (sorted(order[at : at + size]) for at in range(0, count, size))

    def _counted(self, sample: Sample) -> int:
        """How many of its tokens are in the loss."""
        return 0 if sample.truncated and self._config.reward.truncated == "mask" else len(sample.ids)

    def _parts(self, samples: Sequence[Sample], chosen: Sequence[int]) -> Iterator[list[int]]:
        """The indices in `chosen`, cut into batches that are computed at once."""
        lengths = [len(samples[i].prompt) + len(samples[i].ids) for i in chosen]
        for part in pack(lengths, max(self._config.batch_tokens, *lengths)) if lengths else ():
            yield [chosen[place] for place in part]

    def _accumulate(
        self,
        samples: Sequence[Sample],
        chosen: Sequence[int],
        old: dict[int, Tensor] | None,
        reference: dict[int, Tensor] | None,
        sums: Sums,
    ) -> float:
        """The gradient of a minibatch's loss. Samples without advantage are left out where nothing else gives them one."""
        config = self._config
        weights = losses.token_weights([self._counted(samples[i]) for i in chosen], config.loss.aggregation, self._horizon)
        weight = dict(zip(chosen, weights, strict=True))
        active = [i for i in chosen if weight[i] and (samples[i].advantage or reference or config.loss.entropy)]
        total = 0.0
        for part in self._parts(samples, active):
            some = [samples[i] for i in part]
            made = self._policy.logprobs(self._packed(some), temperature=config.temperature, entropy=True)
            before = made.logprobs.detach() if old is None else torch.cat([old[i] for i in part])
            start = None if reference is None else torch.cat([reference[i] for i in part])
            each = self._losses(some, made, before, start, sums)
            value = losses.aggregated(each, [len(sample.ids) for sample in some], [weight[i] for i in part])
            value.backward()  # type: ignore[no-untyped-call]
            total += float(value.detach())
        return total

    def _losses(self, samples: Sequence[Sample], made: Scored, old: Tensor, reference: Tensor | None, sums: Sums) -> Tensor:
        """[tokens], of the samples' tokens; `old` and `reference` are the log-probabilities before the step and before training."""
        options, counts, logprobs, entropy = self._config.loss, [len(s.ids) for s in samples], made.logprobs, made.entropy
        assert entropy is not None
        each = torch.tensor([s.advantage for s in samples], device=old.device)[losses.owners(counts, old.device)]
        rollout = torch.tensor([value for s in samples for value in s.rollout], device=old.device)
        ratio = losses.ratios(logprobs, old, counts, options.level)
        loss = losses.clipped(ratio, each, options.clip_low, options.clip_high, options.dual_clip or None)
        if options.importance_cap:
            loss = loss * losses.importance(old, rollout, options.importance_cap)
        low, high = losses.clipped_share(ratio, each, options.clip_low, options.clip_high)
        logged = {"clip_low": low, "clip_high": high, "policy_kl": losses.divergence(logprobs, old), "entropy": entropy}
        if self._config.temperature == 1.0:
            logged["rollout_gap"] = (old - rollout).abs()
        if options.entropy:
            loss = loss + losses.entropy_bonus(entropy, options.entropy)
        if reference is not None:
            apart = losses.divergence(logprobs, reference, options.kl_estimator)
            loss, logged["kl"] = loss + options.kl * apart, apart
        sums.add(**logged)
        return loss

    def _packed(self, samples: Sequence[Sample]) -> Packed:
        return self._policy.packed([TokenSequence([*s.prompt, *s.ids], slice(len(s.prompt), None)) for s in samples])

    @torch.no_grad()
    def _scored(self, policy: Policy, samples: Sequence[Sample]) -> dict[int, Tensor]:
        """The log-probabilities [tokens] of every sample, by its index."""
        found: dict[int, Tensor] = {}
        for part in self._parts(samples, range(len(samples))):
            made = policy.logprobs(self._packed([samples[i] for i in part]), temperature=self._config.temperature)
            parts = made.logprobs.split([len(samples[i].ids) for i in part])  # type: ignore[no-untyped-call] # torch's
            found |= zip(part, parts, strict=True)
        return found
