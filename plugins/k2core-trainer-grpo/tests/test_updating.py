"""The update against a plain one: padded batches, transformers' own forward pass, the formulas written out."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import grpo_bench as bench
import pytest

torch = pytest.importorskip("torch")

from k2core_trainer_grpo import GrpoConfig, losses  # noqa: E402
from k2core_trainer_grpo.advantages import advantages  # noqa: E402
from k2core_trainer_grpo.rollouts import Sample  # noqa: E402
from k2core_trainer_grpo.updating import Updater  # noqa: E402
from k2core_training.modelling.config import ModelOptions  # noqa: E402
from k2core_training.modelling.policy import Policy  # noqa: E402
from k2core_training.optimizing import Optimizer  # noqa: E402
from k2core_training.options import OptimizerOptions  # noqa: E402
from k2core_training.packing import TokenSequence  # noqa: E402

from k2core import Problem, Task  # noqa: E402

TASK = Task(problem=Problem(prompt="?"), reference="1")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = bench.model(tmp_path_factory.mktemp("tiny"))
    return Policy.load(ModelOptions(model=str(folder), dtype="float32", threads=1))


def samples(seed: int = 0) -> list[Sample]:
    """Three groups of four; the second one's rewards are all the same, and one completion was cut."""
    rng, made = random.Random(seed), list[Sample]()
    for group in range(3):
        prompt = [rng.randrange(200) for _ in range(rng.randint(3, 9))]
        for place in range(4):
            ids = [rng.randrange(200) for _ in range(rng.randint(1, 12))]
            finish = "length" if place == 2 else "stop"
            reward = 0.5 if group == 1 else rng.random()
            made.append(Sample(TASK, group, prompt, ids, [rng.uniform(-6, -4) for _ in ids], "", finish, reward, reward))
    return made


class Collecting:
    """An optimiser that keeps the gradients instead of stepping."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self.found = policy, list[dict[str, Any]]()

    def step(self) -> Any:
        self.found.append({name: p.grad.clone() for name, p in self._policy.trainable if p.grad is not None})
        self._policy.base.zero_grad()
        return SimpleNamespace(lr=0.0, grad_norm=0.0, skipped=False)


def plain(policy: Policy, batch: list[Sample], config: GrpoConfig, horizon: int) -> tuple[float, dict[str, Any]]:
    """One minibatch, on-policy, a sequence at a time."""
    rewards, groups = torch.tensor([s.reward for s in batch]), torch.tensor([s.group for s in batch])
    each = advantages(rewards, groups, config.loss.advantage)
    masked = [config.reward.truncated == "mask" and s.finish == "length" for s in batch]
    weights = losses.token_weights(
        [0 if m else len(s.ids) for m, s in zip(masked, batch, strict=True)], config.loss.aggregation, horizon
    )
    total = torch.zeros(())
    for sample, advantage, weight in zip(batch, each, weights, strict=True):
        ids = torch.tensor([[*sample.prompt, *sample.ids]])
        logits = policy.base(ids, use_cache=False).logits[0, len(sample.prompt) - 1 : -1] / config.temperature
        logs = logits.log_softmax(-1)
        logprobs, entropy = logs.gather(1, ids[0, len(sample.prompt) :, None])[:, 0], -(logs.exp() * logs).sum(-1)
        ratio = (logprobs - logprobs.detach()).exp()
        total = total - weight * (ratio * advantage + config.loss.entropy * entropy).sum()
    total.backward()
    found = {name: p.grad.clone() for name, p in policy.trainable if p.grad is not None}
    policy.base.zero_grad()
    return float(total.detach()), found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": {"aggregation": "seq-mean-token-mean", "advantage": "rloo"}, "temperature": 0.7},
        {"loss": {"aggregation": "seq-mean-token-sum-norm", "advantage": "dr-grpo"}, "reward": {"truncated": "mask"}},
        {"loss": {"entropy": 0.1}, "temperature": 0.7},
    ],
)
@pytest.mark.parametrize("batch_tokens", [64, 8192])
def test_the_gradient_is_that_of_the_plain_loss(policy: Policy, options: dict[str, Any], batch_tokens: int) -> None:
    config = GrpoConfig.model_validate({**options, "batch_tokens": batch_tokens})
    collecting = Collecting(policy)
    values = Updater(policy, collecting, config, 12).update(samples(), 1)  # type: ignore[arg-type]
    loss, expected = plain(policy, samples(), config, 12)
    assert values["loss"] == pytest.approx(loss, abs=1e-5)
    assert len(collecting.found) == 1
    for name, gradient in expected.items():
        torch.testing.assert_close(collecting.found[0][name], gradient, atol=1e-5, rtol=1e-4)
    uniform = sum(len(s.ids) for s in samples() if s.group == 1)
    computed = sum(len(s.ids) for s in samples()) - (0 if config.loss.entropy else uniform)
    assert values["trained_tokens"] <= computed
    assert config.loss.entropy == 0 or values["trained_tokens"] == computed


def test_without_a_baseline_the_right_ones_are_learnt_and_the_wrong_ones_left(policy: Policy) -> None:
    """The gradient is that of supervised fine-tuning on the right completions, also on those of a group without a wrong one."""
    given = samples()
    for sample in given:
        sample.reward = 1.0 if sample.group == 1 else float(sample.reward > 0.5)
    assert {sample.reward for sample in given if sample.group != 1} == {0.0, 1.0}
    config = GrpoConfig.model_validate({"loss": {"advantage": "none"}})
    collecting = Collecting(policy)
    values = Updater(policy, collecting, config, 12).update(given, 1)  # type: ignore[arg-type]
    right = [sample for sample in given if sample.reward]
    assert values["trained_tokens"] == sum(len(sample.ids) for sample in right)
    for sample in right:
        packed = policy.packed([TokenSequence([*sample.prompt, *sample.ids], slice(len(sample.prompt), None))])
        loss = -policy.logprobs(packed).logprobs.sum() / sum(len(each.ids) for each in given)
        loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in policy.trainable:
        if parameter.grad is not None:
            torch.testing.assert_close(collecting.found[0][name], parameter.grad, atol=1e-5, rtol=1e-4)
    policy.base.zero_grad()


def test_a_bonus_raises_the_entropy(policy: Policy) -> None:
    """Along the gradient's descent, where no reward says anything: all are alike."""
    alike = [sample for sample in samples() if sample.group == 1]
    for sample in alike:
        sample.group = 0
    weights = {name: p.detach().clone() for name, p in policy.trainable}
    optimizer = Optimizer(policy.trainable, OptimizerOptions(lr=1e-3, warmup=0), 2)
    updater = Updater(policy, optimizer, GrpoConfig.model_validate({"loss": {"entropy": 1.0}}), 12)
    before, after = (updater.update(alike, step)["entropy"] for step in (1, 2))
    for name, p in policy.trainable:
        p.data.copy_(weights[name])
    assert after > before


def test_minibatches_share_the_samples_and_keep_the_old_log_probabilities(policy: Policy) -> None:
    config = GrpoConfig(minibatches=3, epochs=2)
    collecting = Collecting(policy)
    values = Updater(policy, collecting, config, 12).update(samples(), 1)  # type: ignore[arg-type]
    assert len(collecting.found) == 6
    assert values["policy_kl"] == pytest.approx(0, abs=1e-6)  # nothing has been changed
    assert values["entropy"] > 0


def test_a_step_in_which_all_are_alike_changes_nothing(policy: Policy) -> None:
    alike = [sample for sample in samples() if sample.group == 1]
    for sample in alike:
        sample.group = 0
    collecting = Collecting(policy)
    values = Updater(policy, collecting, GrpoConfig(), 12).update(alike, 1)  # type: ignore[arg-type]
    assert collecting.found == [{}]
    assert values["trained_tokens"] == 0
    assert "entropy" not in values


@pytest.mark.parametrize("reward", [0.1, 0.7, 0.9, 1.1])
@pytest.mark.parametrize("kind", ["grpo", "dr-grpo", "rloo"])
def test_rewards_that_are_the_same_leave_no_advantage(reward: float, kind: Any) -> None:
    """Their float32 mean is not always the reward, and the optimiser makes a step of full size of whatever is left."""
    for size in (2, 3, 8, 16, 17):
        rewards = torch.cat([torch.full((size,), reward), torch.tensor([reward, 0.5])])
        groups = torch.tensor([0] * size + [1, 1])
        made = advantages(rewards, groups, kind)
        assert made[:size].tolist() == [0.0] * size
        assert 0 != made[-2] == pytest.approx(-made[-1])
