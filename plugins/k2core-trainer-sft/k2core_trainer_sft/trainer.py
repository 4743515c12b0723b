"""What a step is: packed samples, their loss and its gradient; and what is measured on held-out ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from k2core_training.data.prepared import Prepared
from k2core_training.following.live import Live
from k2core_training.looping import Learnt, Loop, Values
from k2core_training.measuring import accuracy
from k2core_training.modelling.loading import load_policy
from k2core_training.modelling.policy import Policy
from k2core_training.modelling.supervised import accumulate
from k2core_training.optimizing import Optimizer
from k2core_training.ordering import batch_of, steps_of
from k2core_training.packing import TokenSequence
from k2core_training.runs import opened
from k2core_training.tasks.loading import sides
from k2core_training.working import Work

from k2core.types import Task, TrainReport

from .config import SftConfig
from .sources import prepared


def train(config: SftConfig, work: Work, tasks: Sequence[Task] = ()) -> TrainReport:
    """All of it, in the training's thread. Raises `ConfigError`, `TrainingError`, `DiskError`, and `Stopped`."""
    with opened(config, "sft") as folder:
        with Live(config.steps, shown=config.live, title="sft") as live:
            live.say("loading the model")
            policy = load_policy(config.model, work, config.seed)
            live.say("preparing the data")
            data, held = prepared(config, policy, folder, work)
        return Loop(config, work, folder, Learner(config, work, policy, data, held, tasks), "sft").run()


class Learner:
    """Likelier answers, a batch of samples at a time."""

    def __init__(
        self, config: SftConfig, work: Work, policy: Policy, data: Prepared, held: Prepared, tasks: Sequence[Task]
    ) -> None:
        self._config, self._work, self._policy, self._data, self._held = config, work, policy, data, held
        self._tasks = sides(tasks)[1][: config.validation.tasks]
        self._tokens = 0
        self.steps = config.steps or steps_of(len(data), config.batch, config.epochs)
        self.optimizer = Optimizer(policy.trainable, config.optimizer, self.steps)
        self.product, self.write = policy.product, policy.write

    def begin(self, state: Mapping[str, Any] | None) -> None:
        self._tokens = state["tokens"] if state else 0

    def state(self) -> Mapping[str, Any]:
        return {"tokens": self._tokens}

    def learn(self, step: int) -> Learnt:
        """An optimiser step on the mean over the targets of the batch."""
        chosen = batch_of(step - 1, len(self._data), self._config.batch, self._config.seed)
        sequences = [self._data[index] for index in chosen]
        made = accumulate(self._policy, sequences, self._config.together)
        info = self.optimizer.step()
        tokens = sum(len(sequence.ids) for sequence in sequences)
        self._tokens += tokens
        values = {
            "loss": made.loss,
            "token_accuracy": made.token_accuracy,
            "lr": info.lr,
            "grad_norm": info.grad_norm,
            "tokens": self._tokens,
            "targets": made.targets,
            "epoch": step / steps_of(len(self._data), self._config.batch, 1),
            "skipped": self.optimizer.skipped,
        }
        return Learnt(values, tokens)

    def due(self, step: int) -> bool:
        every, anything = self._config.validation.every, len(self._held) or (self._config.decoder and self._tasks)
        return bool(anything) and step > 0 and (step == self.steps or (every > 0 and step % every == 0))

    def measure(self, step: int) -> Values:
        """Loss and accuracy a token on what was held out, and how many tasks the pipeline solves with these weights."""
        found: dict[str, float] = {}
        if sequences := [self._held[index] for index in range(min(len(self._held), self._config.validation.most))]:
            found |= measure(self._policy, sequences, self._config.together)
        if self._config.decoder and self._tasks:
            work, config = self._work, self._config
            work.ask(work.session.load_weights(config.decoder, self._policy.merged()))
            asked = work.session, self._tasks, config.validation.parallel, config.seed, config.data.verify_timeout
            found |= work.ask(accuracy(*asked))
        return {f"eval_{name}": value for name, value in found.items()}


@torch.no_grad()
def measure(policy: Policy, sequences: list[TokenSequence], most: int) -> dict[str, float]:
    """`loss` and `token_accuracy` over the targets of the sequences."""
    loss, correct, total = 0.0, 0, 0
    for batch in policy.packs(sequences, most):
        made = policy.cross_entropy(batch)
        loss, correct, total = loss + made.loss.item(), correct + int(made.correct.sum()), total + len(batch.labels)
    return {"loss": loss / total, "token_accuracy": correct / total}
