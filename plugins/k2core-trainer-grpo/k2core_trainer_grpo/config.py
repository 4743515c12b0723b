"""Options of the trainer `grpo`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from k2core_training.data.config import DataOptions, GateOptions
from k2core_training.modelling.config import OptionTable
from k2core_training.options import TrainerOptions
from pydantic import AfterValidator, Field, model_validator

from k2core.plugin import DecoderName

THINK_ANSWER = r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*"


class LossOptions(OptionTable):
    """What is minimised. The defaults are GRPO with DAPO's clip-higher and token mean, on-policy and without KL."""

    advantage: Literal["grpo", "dr-grpo", "rloo", "none"] = "grpo"
    """How a reward is compared with those of its group: divided by their spread (`grpo`), less their mean only (`dr-grpo`), or less
    the mean of the others (`rloo`); `none` takes the reward itself: what is right is made likelier, nothing less likely (RAFT)."""
    aggregation: Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"] = "token-mean"
    """How the losses of tokens become one. With `seq-mean-token-sum-norm`, whose length is `max_tokens`, `dr-grpo` is Dr. GRPO."""
    level: Literal["token", "sequence"] = "token"
    """Ratios of tokens, or of whole completions (GSPO; its clips are smaller by orders of magnitude)."""
    clip_low: Annotated[float, Field(ge=0, lt=1)] = 0.2
    clip_high: Annotated[float, Field(ge=0)] = 0.28
    """Bounds of the ratio are 1 - `clip_low` and 1 + `clip_high`."""
    dual_clip: Annotated[float, Field(ge=0)] = 0.0
    """Above 1: the loss of a token with a negative advantage is at most this times it (dual-clip PPO). 0 does not bound it."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the divergence from the model that training began with, which is held in memory besides then."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the entropy bonus: this times the entropy of the distribution at `temperature` is taken off each token's loss. Then
    groups of equal rewards are computed, too."""
    importance_cap: Annotated[float, Field(ge=0)] = 0.0
    """Above 0: weigh tokens by how much likelier the trainer finds them than the rollout engine did, at most this (truncated
    importance sampling). For engines that compute otherwise than the trainer; needs `temperature` 1."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return pattern


class RewardOptions(OptionTable):
    """What a completion is worth: the weighted mean of the pipeline's verifiers' scores, in 0..1, and what is added here."""

    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds for the verdicts on one completion; one that takes longer is left out and counted."""
    format_weight: Annotated[float, Field(ge=0)] = 0.0
    """Added where the whole text has the format."""
    format: Annotated[str, AfterValidator(_compiles)] = THINK_ANSWER
    """Regular expression for the whole text, reasoning included; the dot matches line ends."""
    overlong_buffer: Annotated[int, Field(ge=0)] = 0
    """The last so many tokens before `max_tokens` cost more and more (DAPO's soft punishment); 0 punishes none."""
    overlong_factor: Annotated[float, Field(ge=0)] = 1.0
    """What a completion of full length is punished with."""
    truncated: Literal["keep", "mask"] = "keep"
    """A completion that `max_tokens` cut: trained on as it is scored, or left out of the loss (its reward counts for its group)."""


class ReplayOptions(DataOptions):
    """Chats whose loss is added to each optimiser step's, so that the model does not unlearn them; without `files`, none."""

    batch: Annotated[int, Field(ge=1)] = 16
    """Chats an optimiser step."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Of their mean loss a token, beside the loss of the completions."""
    gate: GateOptions = GateOptions()
    """Which evaluation data must not be among them."""


class EvaluationOptions(OptionTable):
    """Measuring on tasks that are not trained on, by the whole pipeline: its planner, sampler and verifiers."""

    every: Annotated[int, Field(ge=0)] = 0
    """Steps between evaluations; 0 never evaluates."""
    limit: Annotated[int, Field(ge=1)] = 100
    """The first so many of the validation tasks."""
    parallel: Annotated[int, Field(ge=1)] = 16
    """Tasks solved at the same time."""


class GrpoConfig(TrainerOptions):
    """Options of `[trainer] use = "grpo"`."""

    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the model that is trained: it must run the model of `[trainer.model]` and take weights."""
    weights: Literal["memory", "folder"] = "memory"
    """How the decoder gets new weights: as arrays of this process, or as a folder `weights` in `out` that it reads."""
    prompts: Annotated[int, Field(ge=1)] = 8
    """Prompts a step."""
    group: Annotated[int, Field(ge=2)] = 8
    """Completions of a prompt, which are compared with one another."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the rollouts, and of the distribution that is trained. Nothing is cut off it (`top_p` is 1)."""
    max_tokens: Annotated[int, Field(ge=0)] = 0
    """Most tokens of a completion; 0: as the pipeline's sampler."""
    plan: Annotated[float, Field(ge=0, le=1)] = 0
    """The share of prompts that the pipeline's planner plans for, as it does when serving; the plan itself is not trained."""
    order: Literal["passes", "pass-rate"] = "passes"
    """Which prompts come: each once before any comes again, or by how often they have been solved, half-solved ones first."""
    dynamic_sampling: Annotated[int, Field(ge=0)] = 0
    """So many times further prompts are tried in place of those whose completions all got the same reward (DAPO); 0 keeps those."""
    minibatches: Annotated[int, Field(ge=1)] = 1
    """Optimiser steps a rollout step; with more than one the later ones are off-policy, and clipping matters."""
    epochs: Annotated[int, Field(ge=1)] = 1
    """How often the completions of a step are gone through."""
    batch_tokens: Annotated[int, Field(ge=64)] = 2048
    """Most tokens computed at once; a minibatch is cut into parts by it."""
    samples: Annotated[int, Field(ge=0)] = 4
    """Completions a step that are kept in `samples.jsonl`, for people to read."""
    bad_steps: Annotated[int, Field(ge=1)] = 3
    """So many steps in a row without a single reward end the training."""
    loss: LossOptions = LossOptions()
    """What is minimised."""
    reward: RewardOptions = RewardOptions()
    """What a completion is worth."""
    replay: ReplayOptions = ReplayOptions()
    """Chats to train on beside the completions."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """Measuring on tasks that are not trained on."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.loss.importance_cap and self.temperature != 1.0:
            raise ValueError("loss.importance_cap needs temperature 1: decoders report log-probabilities at that")
        if 0 < self.loss.dual_clip <= 1:
            raise ValueError("loss.dual_clip is above 1, or 0")
        if self.replay.verify:
            raise ValueError("replay.verify: only the trainer sft keeps rows by their verdicts")
        return self
