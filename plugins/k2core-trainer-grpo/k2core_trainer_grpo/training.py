"""What a step is: rollouts, their rewards, an update; and what is measured, and how weights reach the decoder."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from k2core_training.events import Skipped
from k2core_training.following.live import Live
from k2core_training.looping import Learnt, Loop, Values
from k2core_training.measuring import accuracy, common_answer
from k2core_training.modelling.loading import load_policy
from k2core_training.modelling.policy import Policy
from k2core_training.optimizing import Optimizer
from k2core_training.runs import opened
from k2core_training.tasks.curriculum import Curriculum
from k2core_training.tasks.loading import sides
from k2core_training.working import Work

from k2core.errors import ConfigError
from k2core.types import Task, TrainReport, Usage

from .config import GrpoConfig
from .keeping import Samples, write_weights
from .prompts import Prompts
from .replay import Replay
from .rollouts import Roller, Rollouts
from .updating import Updater


def train(config: GrpoConfig, work: Work, tasks: Sequence[Task]) -> TrainReport:
    """All of it, in the training's thread. Raises `ConfigError`, `TrainingError`, `DiskError`, and `Stopped`."""
    with opened(config, "grpo") as folder:
        with Live(config.steps, shown=config.live, title="grpo") as live:
            live.say("loading the model")
            learner = Learner(config, work, folder, tasks)
        try:
            report = Loop(config, work, folder, learner, "grpo", "reward").run()
            learner.send_weights()
        finally:
            learner.samples.close()
    files = {**report.artifacts, "samples": str(learner.samples.path)}
    return report.model_copy(update={"artifacts": files, "usage": learner.usage})


class Learner:
    """Completions that did better than their siblings become likelier."""

    def __init__(self, config: GrpoConfig, work: Work, folder: Path, tasks: Sequence[Task]) -> None:
        """Loads the model. Raises `ConfigError` for what cannot be trained."""
        self._config, self._work, self._folder = config, work, folder
        train, held = sides(tasks)
        if not train:
            raise ConfigError("there are no tasks to train on", "trainer")
        self._validation = held[: config.evaluation.limit]
        self._prompts = (Prompts if config.order == "passes" else Curriculum)(train, config.seed)
        self._policy = policy = load_policy(config.model, work, config.seed)
        self._roller = Roller(work.session, config, policy.chat.prompt_ids, self._text_of)
        self.steps = config.steps or -(-len(train) // config.prompts)
        self.optimizer = Optimizer(policy.trainable, config.optimizer, self.steps * config.minibatches * config.epochs)
        reference = _frozen(config, work) if config.loss.kl else None
        replay = Replay(config, policy, folder, work) if config.replay.files else None
        self._updater = Updater(policy, self.optimizer, config, self._roller.max_tokens, reference, replay)
        self._stale = True
        """Whether the decoder has other weights than the policy."""
        self._bad = 0
        """Steps in a row without any reward."""
        self._skipped: Counter[str] = Counter()
        self.usage: dict[str, Usage] = {}
        """Of the rollouts, by request role."""
        self.samples = Samples(folder)
        self.product, self.write = policy.product, policy.write

    def _text_of(self, ids: Sequence[int]) -> str:
        return str(self._policy.tokenizer.decode(list(ids), skip_special_tokens=True))

    # going on

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Back to where prompts, counters and samples were."""
        self.samples.cut(state["samples"] if state else 0)
        if state:
            self._prompts.restore(state["prompts"])
            self._bad, self._skipped = state["bad"], Counter(state["skipped"])
            self.usage = {role: Usage(**counts) for role, counts in json.loads(state["usage"]).items()}

    def state(self) -> Mapping[str, Any]:
        self.samples.sync()
        return {
            "prompts": self._prompts.state(),
            "bad": self._bad,
            "skipped": dict(self._skipped),
            "usage": json.dumps({role: usage.model_dump() for role, usage in self.usage.items()}),
            "samples": self.samples.offset,
        }

    # a step

    def learn(self, step: int) -> Learnt:
        """Hand the weights over, roll out and judge, update. `Stopped` comes before the update or never."""
        clocks: dict[str, float] = {}
        with _clock(clocks, "weights"):
            self.send_weights()
        with _clock(clocks, "rollout"):
            rolled = self._rolled(step)
        clocks |= {"reward": rolled.tail, "rollout": clocks["rollout"] - rolled.tail}
        self._book(rolled)
        values = described(rolled)
        if rolled.samples:
            with _clock(clocks, "update"):
                values |= self._updater.update(rolled.samples, step)
            self._stale = True
            every = max(1, len(rolled.samples) // max(1, self._config.samples))
            self.samples.add(step, rolled.samples[::every][: self._config.samples])
        values |= {"skipped": float(self._skipped.total()), **{f"seconds_{phase}": spent for phase, spent in clocks.items()}}
        return Learnt(values, int(values["tokens"]), self._fault(step, rolled))

    def _rolled(self, step: int) -> Rollouts:
        before = self._prompts.state()
        try:
            return self._work.ask(self._roller.roll(step, self._prompts.draw, self._prompts.told))
        except BaseException:
            self._prompts.restore(before)
            raise

    def _book(self, rolled: Rollouts) -> None:
        """Usage and what was left out."""
        for role, usage in rolled.usage.items():
            self.usage[role] = self.usage.get(role, Usage()) + usage
        self._skipped += rolled.skipped
        for reason in rolled.skipped:
            self._work.emit(Skipped(reason=reason, count=self._skipped[reason], examples=(rolled.reasons[reason],)))
        self._bad = 0 if rolled.samples or not rolled.skipped else self._bad + 1

    def _fault(self, step: int, rolled: Rollouts) -> str:
        """Why it is no use to go on: nothing at all has been rewarded several times in a row."""
        if self._bad < self._config.bad_steps:
            return ""
        why = "; ".join(f"{reason}: {message}" for reason, message in rolled.reasons.items())
        told = f"no completion could be rewarded in {self._bad} steps in a row (until step {step}): {why}"
        return f"{told}. Mend that, and --resume goes on from here"

    # measuring

    def due(self, step: int) -> bool:
        every = self._config.evaluation.every
        return bool(every and self._validation) and (step % every == 0 or step == self.steps)

    def measure(self, step: int) -> Values:
        """How well the pipeline does with these weights on the tasks that are held back."""
        self.send_weights()
        config = self._config
        asked = self._work.session, self._validation, config.evaluation.parallel, config.seed, config.reward.timeout
        found = self._work.ask(accuracy(*asked, self._roller.score))
        return {f"eval_{name}": value for name, value in found.items()}

    def send_weights(self) -> None:
        """Have the decoder decode with what has been trained, unless it does."""
        if not self._stale:
            return
        weights: Any = self._policy.merged()
        if self._config.weights == "folder":
            weights = str(write_weights(self._policy, weights, self._folder / "weights"))
        self._work.ask(self._work.session.load_weights(self._config.decoder, weights))
        self._stale = False


@contextmanager
def _clock(clocks: dict[str, float], phase: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    clocks[phase] = time.monotonic() - began


def _frozen(config: GrpoConfig, work: Work) -> Policy:
    """What training begins with, without anything to train."""
    policy = load_policy(config.model.model_copy(update={"lora": None, "adapter_use": "merge"}), work, config.seed)
    policy.base.requires_grad_(False)
    return policy


def described(rolled: Rollouts) -> dict[str, float]:
    """What the rollouts of a step were like."""
    made: dict[str, float] = {
        "groups": rolled.groups,
        "zero_variance": rolled.uniform / rolled.groups if rolled.groups else 0.0,
        "tokens": sum(len(sample.ids) for sample in rolled.samples),
    }
    if not rolled.samples:
        return made
    rewards, lengths = [sample.reward for sample in rolled.samples], [len(sample.ids) for sample in rolled.samples]
    mean = sum(rewards) / len(rewards)
    made |= {
        "reward": mean,
        "reward_std": (sum((reward - mean) ** 2 for reward in rewards) / len(rewards)) ** 0.5,
        "score": sum(sample.score for sample in rolled.samples) / len(rewards),
        "response_length": sum(lengths) / len(lengths),
        "response_length_max": max(lengths),
        "truncated": sum(sample.truncated for sample in rolled.samples) / len(lengths),
    }
    if (share := common_answer(sample.answer for sample in rolled.samples)) is not None:
        made["common_answer"] = share
    for domain in sorted({sample.task.problem.domain for sample in rolled.samples}):
        own = [sample.score for sample in rolled.samples if sample.task.problem.domain == domain]
        made[f"score_{domain}"] = sum(own) / len(own)
    return made
