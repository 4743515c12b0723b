"""What the trainer `verl` may be told. Options that trainer `grpo` has, too, have its names; the rest is in `overrides`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from k2core_sampler.prompt import Example
from k2core_training.modelling.config import ModelOptions, OptionTable
from k2core_training.options import CheckpointOptions, OptimizerOptions, TrainerOptions
from k2core_training.tasks.config import TaskOptions
from pydantic import Field, model_validator

Count: TypeAlias = Annotated[int, Field(ge=1)]
Whole: TypeAlias = Annotated[int, Field(ge=0)]
Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]
Algorithm: TypeAlias = Literal["grpo", "drgrpo", "dapo", "gspo", "cispo", "rloo", "reinforce++"]


class Model(ModelOptions):
    """The model that is trained, with defaults for large ones."""

    model: str = ""
    """Folder in Hugging Face's form, on every node under the same path, or a name on the hub."""
    gradient_checkpointing: bool = True
    """Keep one activation a layer and compute the others again."""


class Optimizer(OptimizerOptions):
    """AdamW and its schedule, with Guru's values; verl has no `linear` one."""

    lr: Annotated[float, Field(gt=0)] = 1e-6
    """Highest learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Of all that is trained."""
    warmup: Annotated[float, Field(ge=0)] = 10
    """Steps until the learning rate is reached: their number, or below 1 their share of all."""
    schedule: Literal["cosine", "constant", "linear"] = "constant"
    """How the learning rate falls after the warm-up."""


class Loss(OptionTable):
    """What is minimised. What is not set here is as `algorithm` has it."""

    advantage: Literal["grpo", "dr-grpo", "rloo", "reinforce++"] | None = None
    """How a reward is compared with those of its group."""
    aggregation: Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"] | None = None
    """How the losses of tokens become one."""
    level: Literal["token", "sequence"] | None = None
    """Ratios of tokens, or of whole answers (GSPO)."""
    clip_low: Annotated[float, Field(ge=0)] | None = None
    clip_high: Annotated[float, Field(ge=0)] | None = None
    """Bounds of the ratio are 1 - `clip_low` and 1 + `clip_high`."""
    dual_clip: Annotated[float, Field(gt=1)] = 3.0
    """The loss of a token with a negative advantage is at most this times it (dual-clip PPO)."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the divergence from the model that training began with; 0 keeps no copy of that."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy: float = 0.0
    """Weight of the entropy bonus."""
    importance_cap: Annotated[float, Field(ge=0)] = 0.0
    """Above 0: weigh tokens by how much likelier the trainer finds them than the engine did, at most this."""


class Sharding(OptionTable):
    """How weights, gradients and optimiser states are spread over the devices."""

    strategy: Literal["fsdp", "fsdp2"] = "fsdp2"
    size: Whole = 0
    """Devices that share one copy; 0 is all of them (ZeRO-3), fewer is hybrid sharding."""
    offload: bool = False
    """Parameters and optimiser states rest in main memory between their uses."""
    sequence_parallel: Count = 1
    """Devices that share one sequence (Ulysses)."""


class Rollout(OptionTable):
    """The engine that answers in training."""

    engine: Literal["auto", "vllm", "sglang", "k2core"] = "auto"
    """`k2core` is the one for the CPU; `auto` is that on the CPU, else `vllm`."""
    tensor_parallel: Count = 1
    memory: Share = 0.5
    """Share of a device's memory for weights and KV cache of the engine."""
    top_p: Share = 1.0
    max_sequences: Count = 256
    """Sequences that the engine decodes at once."""
    eager: bool = False
    """Without CUDA graphs."""


class Cluster(OptionTable):
    """The machines."""

    nodes: Count = 1
    gpus: Whole = 0
    """Devices of one node; 0 is all that are seen here. On the CPU: processes."""
    ray: str = ""
    """Address of a running Ray cluster, or `auto`; empty starts one on this machine, which ends with the run."""
    start_timeout: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds until the settings must have been checked and the data written."""
    drain: Annotated[float, Field(ge=0)] = 20.0
    """Seconds for verl's processes to end by themselves when the run is cancelled; then they are killed."""


class Reward(OptionTable):
    """How answers are graded: by the pipeline's `[verifiers]`, in verl's reward workers."""

    verifier: Mapping[str, str] = {}
    """By domain, or by what stands before `__` in a row's `data_source`, the one verifier that grades; others are graded by all."""
    workers: Whole = 0
    """Processes that grade; 0: one on the CPU, else 8."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds for one answer; one that takes longer is worth 0 and counted as an error."""
    opened: bool = False
    """The chat template opens the block of reasoning itself, so answers begin inside it."""


class Data(OptionTable):
    """Files. For `rl` they come beside the tasks."""

    files: tuple[str, ...] = ()
    """`rl`: Parquet files in verl's layout (`prompt`, `reward_model`), used as they are. `sft`: Parquet files with conversations in
    verl's layout, used as they are, or files of other kinds that the trainer `sft` reads, which are turned into such."""
    validation: tuple[str, ...] = ()
    """The same, for validation."""
    validate_every: Whole = 0
    """Steps between two validations; 0 validates never, but for `sft` after the last step where there is `validation`."""
    messages: str = "messages"
    """Column of the conversations, `sft` only."""
    layout: Literal["as-is", "think-answer"] = "as-is"
    """`sft`, files that are turned: `think-answer` writes each answer as `<think>…</think>` and `<answer>…</answer>`."""
    max_length: Count = 32768
    """Longest conversation in tokens, `sft` only."""
    over_long: Literal["skip", "error", "truncate"] = "skip"
    """`rl`: prompts longer than `max_prompt` are left out, are an error, or lose their beginning. `sft`: `skip` is not possible,
    conversations longer than `max_length` lose their end."""
    shuffle: bool = True
    """`rl` only: verl's trainer for conversations always shuffles, by an order of its own that `seed` does not change."""


class VerlConfig(TrainerOptions):
    """Options of `verl`."""

    model: Model = Model()
    """What is trained."""
    optimizer: Optimizer = Optimizer()
    """AdamW and its schedule."""
    checkpoint: CheckpointOptions = CheckpointOptions()
    """verl's own checkpoints; `export` makes a model of the last one."""
    tasks: TaskOptions = TaskOptions()
    """Problems, for `rl`; those that are held are for `data.validate_every`."""
    passes: Count = 1
    """`rl`: passes over the data, unless `steps` ends before."""
    stage: Literal["rl", "sft"] = "rl"
    """Reinforcement learning (`verl.trainer.main_ppo`), or fine-tuning on conversations (verl's SFT trainer)."""
    python: str = ""
    """Interpreter of the environment that has verl and this distribution; by default this one."""
    prompts: Count = 512
    """Problems (`rl`) or conversations (`sft`) a step, over all devices."""
    group: Annotated[int, Field(ge=2)] = 16
    """Answers to each problem."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the answers, and of the distribution that is trained."""
    max_prompt: Count = 4096
    """Longest prompt in tokens."""
    max_tokens: Count = 8192
    """Most tokens of an answer."""
    minibatches: Count = 1
    """Optimiser steps a step; with more than one the later ones are off-policy, and clipping matters."""
    epochs: Count = 1
    """`rl`: how often the answers of a step are gone through. `sft`: passes over the data, unless `steps` ends before."""
    batch_tokens: Whole = 0
    """Most tokens that a device computes at once: sequences are packed up to it. 0: `micro` sequences, padded."""
    micro: Count = 1
    """Sequences that a device computes at once, where `batch_tokens` is 0."""
    algorithm: Algorithm = "grpo"
    """A recipe for `loss` and `dynamic_sampling`."""
    dynamic_sampling: bool | None = None
    """Draw anew in place of problems whose answers all got the same reward (DAPO); by default as `algorithm` has it."""
    loss: Loss = Loss()
    """What is minimised, where it differs from the algorithm's."""
    system: str | None = None
    """System prompt; by default the pipeline's sampler's, as with the next two."""
    instructions: bool | str | None = None
    """Whether to ask for the answer format after the question, or your own words for it."""
    examples: tuple[Example, ...] | None = None
    """Questions and replies shown before each problem."""
    data: Data = Data()
    """Files beside the tasks."""
    reward: Reward = Reward()
    """How answers are graded."""
    sharding: Sharding = Sharding()
    """How the model is spread over the devices."""
    rollout: Rollout = Rollout()
    """The engine that answers."""
    cluster: Cluster = Cluster()
    """The machines."""
    environment: Mapping[str, str] = {}
    """Environment variables of verl's processes, on all nodes."""
    overrides: Mapping[str, Any] = {}
    """Any of verl's own settings, by dotted path or as tables; they win over all of the above, and unknown ones are refused."""

    @property
    def whole(self) -> int:
        """Tokens of the longest sequence."""
        return self.data.max_length if self.stage == "sft" else self.max_prompt + self.max_tokens

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if faults := list(self._unfit()):
            raise ValueError("; ".join(faults))
        return self

    def _unfit(self) -> Iterator[str]:
        if self.prompts % self.minibatches:
            yield f"minibatches = {self.minibatches} does not divide prompts = {self.prompts}"
        if 0 < self.batch_tokens * self.sharding.sequence_parallel < self.whole:
            yield f"batch_tokens = {self.batch_tokens} cannot hold the longest sequence of {self.whole} tokens"
        if self.optimizer.schedule == "linear":
            yield "optimizer.schedule: verl has constant and cosine, not linear"
        if self.optimizer.clip == 0:
            yield "optimizer.clip: verl always clips; a large number leaves every gradient as it is"
        if self.optimizer.bad_steps != OptimizerOptions().bad_steps:
            yield "optimizer.bad_steps: verl has no such option"
        if self.model.revision:
            yield "model.revision: verl takes no revision; name a folder with that one"
        if self.model.lora and not self.model.lora.alpha.is_integer():
            yield f"model.lora.alpha: verl takes whole numbers only, not {self.model.lora.alpha:g}"
        if self.model.adapter and self.model.adapter_use == "merge":
            yield 'model.adapter_use: verl can only go on with an adapter ("continue")'
