"""Memory and time of K2 Think's two training stages on 8 to 256 GPUs, on paper; run, it prints the tables of the README.

Every figure comes from a formula below and from `Assumed`, whose values nobody has measured for this recipe: change them there. The
formulas are the usual ones, by their sources:

[1] Rajbhandari et al., ZeRO, arXiv 1910.02054: 16 bytes of parameters, gradients and optimiser states a parameter, sharded
[2] Korthikanti et al., Reducing Activation Recomputation, arXiv 2205.05198: activations of a layer, with and without recomputation
[3] Kaplan et al., Scaling Laws, arXiv 2001.08361, and Chowdhery et al., PaLM, arXiv 2204.02311 (appendix B): operations a token
[4] Pope et al., Efficiently Scaling Transformer Inference, arXiv 2211.05102: decoding is bound by what is read from memory
[5] NVIDIA, data sheets of H100 SXM and H200 SXM: memory, its bandwidth, dense bfloat16 operations
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GB = 1e9
"""Decimal, as memory is sold."""


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer with grouped queries and gated feed-forward layers."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int

    @property
    def layer(self) -> int:
        """Parameters of one layer: attention with biases on queries, keys and values, feed-forward, two norms."""
        attention = 2 * self.hidden * self.heads * self.head + 2 * self.hidden * self.kv_heads * self.head
        biases = (self.heads + 2 * self.kv_heads) * self.head
        return attention + biases + 3 * self.hidden * self.inner + 2 * self.hidden

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them; input and output embeddings are two matrices."""
        return self.layers * self.layer + 2 * self.embedding + self.hidden

    @property
    def cache(self) -> int:
        """Bytes of keys and values a token, bfloat16."""
        return 2 * self.layers * self.kv_heads * self.head * 2


QWEN_32B = Architecture(layers=64, hidden=5120, inner=27648, heads=40, kv_heads=8, head=128, vocabulary=152064)
"""Qwen2.5-32B, from its config.json."""


@dataclass(frozen=True)
class Device:
    """A graphics card [5]."""

    name: str
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes a second, of its memory."""
    compute: float
    """Operations a second, bfloat16, dense."""


H100 = Device("H100 80 GB", 80 * GB, 3.35e12, 989e12)
H200 = Device("H200 141 GB", 141 * GB, 4.8e12, 989e12)


@dataclass(frozen=True)
class Assumed:
    """What no source states for this recipe."""

    utilisation: float = 0.40
    """Share of the peak that training reaches."""
    reading: float = 0.60
    """Share of the memory's bandwidth that decoding reaches."""
    network: float = 40e9
    """Bytes a second of one of a node's 8 network cards: 400 Gb/s, at 80 %. Rings over all nodes use all 8 side by side."""
    inside: float = 300e9
    """Bytes a second and GPU within a node of 8: NVLink."""
    usable: float = 0.92
    """Share of a device's memory that is left by context, buffers and fragments."""
    conversation: float = 6_000
    """Mean tokens of a conversation of AM-Thinking-v1-Distilled."""
    answer: float = 4_000
    """Mean tokens of an answer in reinforcement learning."""
    question: float = 400
    """Mean tokens of a problem."""


@dataclass(frozen=True)
class Plan:
    """How a stage is laid out."""

    gpus: int
    longest: int
    """Tokens of the longest sequence, or of a pack."""
    sequence_parallel: int = 1
    """Devices that share a sequence: each computes its part of the tokens at once."""
    tensor_parallel: int = 4
    """Of the rollout engine."""
    memory: float = 0.6
    """Share of the device that the engine may take."""

    @property
    def together(self) -> float:
        """Tokens that a device computes at once."""
        return self.longest / self.sequence_parallel


# memory, bytes a device


def states(model: Architecture, gpus: int) -> float:
    """float32 weights, gradients and AdamW's two moments, spread over all devices [1]: 4 + 4 + 8 bytes a parameter."""
    return 16 * model.parameters / gpus


def gathered(model: Architecture) -> float:
    """The layer at work and the next one, and the largest matrix, whole and in bfloat16, with the layer's gradient in float32."""
    return 2 * (2 * model.layer) + 2 * model.embedding + 4 * model.layer


def activations(model: Architecture, plan: Plan) -> float:
    """With recomputation a layer keeps its input alone, and one layer at a time all it needs [2], attention computed in blocks.

    Of a token a layer holds: input, both norms' outputs, queries, keys, values, attention's output and its projection, both halves
    of the gate, their product, the output; 2 bytes each. Then the logits: bfloat16, and float32 for the loss and its gradient.
    """
    held = 6 * model.hidden + 2 * (model.heads + model.kv_heads) * model.head + 3 * model.inner
    kept = 2 * model.layers * model.hidden
    logits = (2 + 4 + 4) * model.vocabulary
    return plan.together * (kept + 2 * held + logits)


def training_memory(model: Architecture, plan: Plan) -> float:
    """What a device holds while it trains; the engine sleeps."""
    return states(model, plan.gpus) + gathered(model) + activations(model, plan)


def rollout_memory(model: Architecture, device: Device, plan: Plan, offload: bool) -> float:
    """What a device holds while the engine answers: the engine's share, and weights and moments unless they rest in main memory."""
    return plan.memory * device.memory + (0 if offload else 12 * model.parameters / plan.gpus)


def laid_out(model: Architecture, device: Device, gpus: int, longest: int, assumed: Assumed) -> Plan:
    """With as few devices to a sequence as memory allows, at most a node's."""
    plans = [Plan(gpus, longest, parallel) for parallel in (1, 2, 4, 8)]
    return next((plan for plan in plans if fits(training_memory(model, plan), device, assumed)), plans[-1])


def fits(needed: float, device: Device, assumed: Assumed) -> bool:
    return needed <= device.memory * assumed.usable


def engine_weights(model: Architecture, plan: Plan) -> float:
    """bfloat16, over the engine's devices."""
    return 2 * model.parameters / plan.tensor_parallel


def sequences(model: Architecture, device: Device, plan: Plan, length: float) -> float:
    """Sequences of a mean length that an engine of `tensor_parallel` devices holds at once."""
    room = plan.memory * device.memory - engine_weights(model, plan)
    return max(0.0, room * plan.tensor_parallel / (model.cache * length))


# time, seconds


def operations(model: Architecture, length: float, recomputed: bool = True) -> float:
    """Of forward and backward pass, a token [3]: 6 a parameter, 8 with recomputation, and attention over half the sequence.

    Attention: 12 · layers · heads · head · length for all of it, of which causal attention needs half.
    """
    passes = 8 if recomputed else 6
    dense = model.parameters - model.embedding  # looking an embedding up is no multiplication
    return passes * dense + passes / 6 * 6 * model.layers * model.heads * model.head * length


def computing(
    model: Architecture, device: Device, plan: Plan, tokens: float, length: float, forwards: int, assumed: Assumed
) -> float:
    """Seconds to train on `tokens` in all, after so many forward passes without gradient."""
    work = operations(model, length) + forwards * operations(model, length, False) / 3
    return tokens * work / (plan.gpus * device.compute * assumed.utilisation)


def communicating(model: Architecture, plan: Plan, tokens: float, assumed: Assumed, forwards: int = 0) -> float:
    """Seconds that FSDP moves weights and gradients in, which goes on beside computing: a step takes the longer of the two.

    Each time a device has computed its tokens, weights have been gathered twice in bfloat16 and gradients scattered in float32; for
    a forward pass alone weights are gathered once.
    """
    rate = assumed.inside if plan.gpus <= 8 else min(assumed.inside, 8 * assumed.network)
    rounds = max(1.0, tokens / (plan.gpus * plan.together))
    return rounds * (2 * 2 + 4 + 2 * forwards) * model.parameters / rate


def decoding(model: Architecture, device: Device, plan: Plan, answers: float, assumed: Assumed) -> tuple[float, float]:
    """Seconds for so many answers, and tokens a second of all engines while they are full [4].

    A step reads the weights once and every sequence's keys and values. At the end the longest answers are alone: what is beyond
    twice the mean is added at the speed of an engine that holds few.
    """
    length = assumed.question + assumed.answer / 2
    engines = plan.gpus / plan.tensor_parallel
    held = min(sequences(model, device, plan, length), answers / engines, 512.0)
    speed = plan.tensor_parallel * device.bandwidth * assumed.reading
    rate = engines * held / ((2 * model.parameters + held * model.cache * length) / speed)
    alone = 2 * model.parameters / speed
    tail = max(0.0, plan.longest - 2 * assumed.answer) * alone
    return answers * assumed.answer / rate + tail, rate


# the tables


GPUS = (8, 16, 32, 64, 128, 256)
ROWS, EPOCHS, BATCH = 1_890_000, 2, 512
"""AM-Thinking-v1-Distilled, and the report's recipe: each of a batch's packs holds 32,768 tokens."""
PROMPTS, GROUP, STEPS = 512, 16, 200


def fine_tuning(model: Architecture, device: Device, assumed: Assumed) -> Iterator[list[str]]:
    """A row for each number of GPUs."""
    pack, tokens = 32_768, ROWS * assumed.conversation
    for gpus in GPUS:
        plan, step = laid_out(model, device, gpus, pack, assumed), BATCH * pack
        work = computing(model, device, plan, step, assumed.conversation, 0, assumed)
        seconds = max(work, communicating(model, plan, step, assumed))
        needed = training_memory(model, plan)
        parts = [states(model, gpus), gathered(model), activations(model, plan), needed]
        head = [str(gpus), str(plan.sequence_parallel), *(f"{part / GB:.0f}" for part in parts)]
        yield [*head, "yes" if fits(needed, device, assumed) else "no", *spent(seconds, EPOCHS * tokens / step, step)]


def spent(seconds: float, steps: float, tokens: float) -> list[str]:
    """Seconds a step, tokens a second, days in all."""
    return [f"{seconds:,.0f}", f"{tokens / seconds:,.0f}", f"{steps * seconds / 86_400:,.1f}"]


def reinforcing(model: Architecture, device: Device, assumed: Assumed, prompt: int, response: int) -> Iterator[list[str]]:
    """A row for each number of GPUs. Trainer and engine take turns on the same devices."""
    answers, length = PROMPTS * GROUP, assumed.question + assumed.answer
    for gpus in GPUS:
        plan, tokens = laid_out(model, device, gpus, prompt + response, assumed), answers * length
        rolling, rate = decoding(model, device, plan, answers, assumed)
        work = computing(model, device, plan, tokens, length, 1, assumed)
        training = max(work, communicating(model, plan, tokens, assumed, 1))
        needed = training_memory(model, plan)
        offload = not fits(rollout_memory(model, device, plan, False), device, assumed)
        possible = fits(needed, device, assumed) and fits(rollout_memory(model, device, plan, offload), device, assumed)
        room = sequences(model, device, plan, assumed.question + assumed.answer / 2)
        head = [
            str(gpus),
            str(plan.sequence_parallel),
            f"{needed / GB:.0f}",
            "yes" if offload else "no",
            "yes" if possible else "no",
        ]
        parts = [f"{room:.0f}", f"{rate:,.0f}", f"{rolling:,.0f}", f"{training:,.0f}"]
        yield [*head, *parts, f"{STEPS * (rolling + training) / 86_400:,.1f}"]


def table(head: Sequence[str], rows: Iterator[list[str]]) -> str:
    """Markdown."""
    lines = [head, ["--:"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told() -> str:
    """All that the README quotes."""
    model, assumed = QWEN_32B, Assumed()
    sft = ["GPUs", "to a sequence", "states", "gathered", "activations", "sum, GB", "fits", "s a step", "tokens/s", "days"]
    memory = ["GPUs", "to a sequence", "training, GB", "offload", "fits", "sequences an engine"]
    rl = [*memory, "rollout tokens/s", "rollout, s", "training, s", f"days, {STEPS} steps"]
    long = Assumed(answer=10_000)
    return "\n\n".join(
        [
            f"Parameters: {model.parameters / 1e9:.2f} billion. Keys and values: {model.cache:,} bytes a token, "
            f"{model.cache * 32_768 / GB:.1f} GB for 32,768.",
            f"Fine-tuning, {H100.name}, {BATCH} packs of 32,768 tokens a step, {EPOCHS} epochs of {ROWS:,} conversations:",
            table(sft, fine_tuning(model, H100, assumed)),
            f"The same, {H200.name}:",
            table(sft, fine_tuning(model, H200, assumed)),
            f"Reinforcement learning, {H100.name}, {PROMPTS} prompts of {GROUP} answers of {assumed.answer:,.0f} tokens, "
            "4,096 + 8,192 at most:",
            table(rl, reinforcing(model, H100, assumed, 4_096, 8_192)),
            f"The same with answers of {long.answer:,.0f} tokens, 4,096 + 28,672 at most, {H200.name}:",
            table(rl, reinforcing(model, H200, long, 4_096, 28_672)),
        ]
    )


if __name__ == "__main__":
    print(told())
