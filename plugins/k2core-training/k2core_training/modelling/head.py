"""Log-probabilities and cross-entropy over a large vocabulary, in parts: no more than a part of the scores is ever there."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import linear

PART = 48 << 20
"""Bytes of the scores, in float32, that are there at once."""
KEPT = 8 << 20
"""Up to so many bytes they are kept for the backward pass instead of computed again."""


class Scored(NamedTuple):
    """Of each target, [targets]."""

    logprobs: Tensor
    """Natural logarithm of its probability, float32."""
    entropy: Tensor | None
    """Of the distribution that it is drawn from, in nats, float32."""
    correct: Tensor
    """Whether it is the likeliest token."""


class CrossEntropy(NamedTuple):
    """A loss, and what it is made of."""

    loss: Tensor
    """Σ weight · -log p over the targets; its gradient is computed already."""
    logprobs: Tensor
    """[targets], float32, without gradient."""
    correct: Tensor
    """[targets]"""


def _step(vocabulary: int) -> int:
    return max(16, PART // (4 * vocabulary))


def _scores(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    """[rows, vocabulary], float32, of their own memory."""
    made = linear(hidden, weight, bias).float()
    return made if temperature == 1.0 else made.div_(temperature)


class _Softened(NamedTuple):
    """A part of the targets; all are [rows] but for `exps`."""

    logprobs: Tensor
    correct: Tensor
    entropy: Tensor | None
    top: Tensor
    exps: Tensor
    """[rows, vocabulary]: exp(score - top), in the scores' own memory where no entropy is wanted."""
    total: Tensor
    """Their sum."""


def _soften(scores: Tensor, labels: Tensor, entropy: bool) -> _Softened:
    """Passes over the scores are what costs here, so there are few. H = log Σe - Σ e (s - top) / Σe."""
    chosen, top = scores.gather(1, labels.unsqueeze(1)).squeeze(1), scores.amax(-1)
    shifted = scores.sub_(top.unsqueeze(1))
    exps = shifted.exp() if entropy else shifted.exp_()
    total = exps.sum(-1)
    spread = total.log() - shifted.mul_(exps).sum(-1) / total if entropy else None
    return _Softened(chosen - top - total.log(), chosen == top, spread, top, exps, total)


class _Grads:
    """Gradients of the head, summed over parts in float32 where there are several."""

    def __init__(self, weight: Tensor, bias: Tensor | None, wanted: tuple[bool, bool], parts: int) -> None:
        self.of_weight: Tensor | None = None
        self.of_bias: Tensor | None = None
        self._weight, self._bias, self._wanted, self._parts = weight, bias, wanted, parts

    def add(self, of_scores: Tensor, hidden: Tensor) -> None:
        if self._wanted[0]:
            made = of_scores.t() @ hidden
            if self.of_weight is None:
                self.of_weight = made if self._parts == 1 else made.float()
            else:
                self.of_weight += made
        if self._wanted[1]:
            summed = of_scores.float().sum(0)
            self.of_bias = summed if self.of_bias is None else self.of_bias + summed

    def done(self) -> tuple[Tensor | None, Tensor | None]:
        of_weight = None if self.of_weight is None else self.of_weight.to(self._weight.dtype)
        of_bias = None if self.of_bias is None or self._bias is None else self.of_bias.to(self._bias.dtype)
        return of_weight, of_bias


def _of_scores(probs: Tensor, labels: Tensor, share: Tensor, spread: tuple[Tensor, Tensor] | None, out: Tensor | None) -> Tensor:
    """[rows, vocabulary]: the gradient by the scores s, given that by the log-probabilities, `share` [rows, 1].

    ∂ log p_label / ∂s = 1_label - p. `spread`: the gradient by the entropies, and these, [rows]: ∂H / ∂s = -p (log p + H).
    """
    whole, curve = share, None
    if spread is not None:
        of_entropy, entropy = (each.unsqueeze(1) for each in spread)
        whole, curve = share + of_entropy * entropy, torch.special.xlogy(probs, probs).mul_(of_entropy)
    made = torch.mul(probs, -whole, out=out)
    if curve is not None:
        made -= curve
    return made.scatter_add_(1, labels.unsqueeze(1), share)


class _LogProbs(Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        temperature: float,
        entropy: bool,
        keeps: bool,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        step, total = _step(len(weight)), len(hidden)
        logprobs, lse = torch.empty(total, device=hidden.device), torch.empty(total, device=hidden.device)
        entropies = torch.empty(total, device=hidden.device) if entropy else None
        correct = torch.empty(total, dtype=torch.bool, device=hidden.device)
        keep = keeps and any(ctx.needs_input_grad[:3]) and 4 * total * len(weight) <= KEPT
        kept = list[Tensor]()
        for at in range(0, total, step):
            part = slice(at, at + step)
            made = _soften(_scores(hidden[part], weight, bias, temperature), labels[part], entropy)
            logprobs[part], correct[part], lse[part] = made.logprobs, made.correct, made.top + made.total.log()
            if entropies is not None and made.entropy is not None:
                entropies[part] = made.entropy
            if keep:
                kept.append(made.exps.div_(made.total.unsqueeze(1)))
        ctx.save_for_backward(hidden, weight, bias, labels, lse, entropies, *kept)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(correct)
        return logprobs, entropies, correct

    @staticmethod
    def backward(ctx: Any, of_logprobs: Tensor | None, of_entropy: Tensor | None, _: None) -> tuple[Any, ...]:
        hidden, weight, bias, labels, lse, entropies, *kept = ctx.saved_tensors
        step, total = _step(len(weight)), len(hidden)
        grads = _Grads(weight, bias, (ctx.needs_input_grad[1], ctx.needs_input_grad[2]), -(-total // step))
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        of_logprobs = torch.zeros_like(lse) if of_logprobs is None else of_logprobs
        for number, at in enumerate(range(0, total, step)):
            part = slice(at, at + step)
            if kept:
                probs = kept[number]
            else:
                probs = _scores(hidden[part], weight, bias, ctx.temperature).sub_(lse[part].unsqueeze(1)).exp_()
            share = (of_logprobs[part] / ctx.temperature).unsqueeze(1)
            spread = None if of_entropy is None else (of_entropy[part] / ctx.temperature, entropies[part])
            d = _of_scores(probs, labels[part], share, spread, out=None if kept else probs)
            d = d.to(hidden.dtype)
            if of_hidden is not None:
                of_hidden[part] = d @ weight
            grads.add(d, hidden[part])
        return of_hidden, *grads.done(), None, None, None, None


def scored(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *, temperature: float = 1.0, entropy: bool = False
) -> Scored:
    """Log-probabilities of `labels` [targets] under softmax(hidden weightᵀ + bias) at a temperature, and that distribution's
    entropy where it is asked for; both have a gradient.

    hidden [targets, width], weight [vocabulary, width]. The backward pass computes the scores again, part by part.
    """
    keeps = torch.is_grad_enabled()  # within a function it never is
    return Scored(*_LogProbs.apply(hidden, weight, bias, labels, temperature, entropy, keeps))  # type: ignore[no-untyped-call]


class _CrossEntropy(Function):
    """The loss is linear in the log-probabilities, so its gradient is known while the scores are there: they are made once."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, weights: Tensor, grads_too: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        step, total = _step(len(weight)), len(hidden)
        logprobs = torch.empty(total, device=hidden.device)
        correct = torch.empty(total, dtype=torch.bool, device=hidden.device)
        wanted = [grads_too and needed for needed in ctx.needs_input_grad[:3]]
        of_hidden = torch.empty_like(hidden) if wanted[0] else None
        grads = _Grads(weight, bias, (wanted[1], wanted[2]), -(-total // step))
        for at in range(0, total, step):
            part = slice(at, at + step)
            scores = _scores(hidden[part], weight, bias, 1.0)
            made = _soften(scores, labels[part], False)
            logprobs[part], correct[part] = made.logprobs, made.correct
            if any(wanted):
                share = weights[part].unsqueeze(1)
                d = made.exps.mul_(share / made.total.unsqueeze(1))
                d = d.scatter_add_(1, labels[part].unsqueeze(1), -share).to(hidden.dtype)
                if of_hidden is not None:
                    of_hidden[part] = d @ weight
                grads.add(d, hidden[part])
        ctx.grads = of_hidden, *grads.done()
        ctx.mark_non_differentiable(logprobs, correct)
        return -(logprobs * weights).sum(), logprobs, correct

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
        grads, ctx.grads = ctx.grads, None
        if grads is None:
            raise RuntimeError("the gradient of this loss can be asked for once only")
        if grad.item() != 1.0:
            grads = tuple(None if part is None else part.mul_(grad) for part in grads)
        return *grads, None, None, None


def cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, weights: Tensor) -> CrossEntropy:
    """Σ weightsᵢ · -log softmax(hidden weightᵀ + bias)ᵢ[labelsᵢ], with a gradient that can be asked for once.

    hidden [targets, width], weight [vocabulary, width], labels and weights [targets].
    """
    grads_too = torch.is_grad_enabled()
    return CrossEntropy(*_CrossEntropy.apply(hidden, weight, bias, labels, weights, grads_too))  # type: ignore[no-untyped-call]
