"""The policy-gradient losses. Pure functions on flat tensors: all tokens of all completions after one another, no padding.

Shapes: [tokens] holds a value for each generated token; `counts` says how many of them each completion has, in order.
A batch that is computed in parts has the loss of the whole when the parts' token weights come from the whole: see `token_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Level: TypeAlias = Literal["token", "sequence"]
Aggregation: TypeAlias = Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"]
Estimator: TypeAlias = Literal["k1", "k2", "k3"]


def owners(counts: Sequence[int], device: torch.device | None = None) -> Tensor:
    """[tokens]: the index of the completion that each token belongs to."""
    return torch.repeat_interleave(torch.arange(len(counts), device=device), torch.tensor(counts, device=device))


def sequence_means(values: Tensor, counts: Sequence[int]) -> Tensor:
    """[completions]: the mean of `values` [tokens] over each; 0 for one without tokens."""
    sums = values.new_zeros(len(counts)).index_add(0, owners(counts, values.device), values)
    return sums / torch.tensor(counts, device=values.device).clamp(min=1)


def ratios(logprobs: Tensor, old: Tensor, counts: Sequence[int], level: Level = "token") -> Tensor:
    """[tokens]: how much likelier a token has become since `old`; `logprobs` and `old` are [tokens].

    - `token`: exp(logprob - old), the exponent within ±20 (Schulman et al. 2017, PPO, arXiv:1707.06347, eq. 6).
    - `sequence`: exp(mean over the completion of logprob - old) for every token of it, at most e^10, with the gradient of the
      token's own log-probability (Zheng et al. 2025, GSPO-token, arXiv:2507.18071, eq. 14).
    """
    change = logprobs - old
    if level == "token":
        return change.clamp(-20.0, 20.0).exp()
    whole = sequence_means(change.detach(), counts)[owners(counts, logprobs.device)]
    return (logprobs - logprobs.detach() + whole).clamp(max=10.0).exp()


def clipped(ratio: Tensor, advantages: Tensor, low: float, high: float, dual: float | None = None) -> Tensor:
    """[tokens]: -min(ratio A, clip(ratio, 1 - low, 1 + high) A), of `ratio` and `advantages` [tokens].

    PPO's clipped surrogate (arXiv:1707.06347, eq. 7), with an upper bound of its own, for unlikely tokens to grow (Yu et al. 2025,
    DAPO, arXiv:2503.14476, 3.1). `dual` > 1: where A < 0 the loss is at most -dual A (Ye et al. 2020, arXiv:1912.09729, eq. 5).
    """
    loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high))
    if dual is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -advantages * dual), loss)


def clipped_share(ratio: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """[tokens] of booleans, twice: whose gradient is cut at the lower bound, and at the upper one."""
    return (ratio < 1 - low) & (advantages < 0), (ratio > 1 + high) & (advantages > 0)


def divergence(logprobs: Tensor, reference: Tensor, kind: Estimator = "k3") -> Tensor:
    """[tokens]: estimates of KL(policy || reference) from log-probabilities [tokens] of what the policy drew.

    With r = reference - logprob: `k1` is -r, `k2` r² / 2, `k3` e^r - r - 1, kept within ±20 and ±10 (Schulman, "Approximating KL
    divergence", 2020, http://joschu.net/blog/kl-approx.html).
    """
    apart = reference - logprobs
    if kind == "k1":
        return -apart
    if kind == "k2":
        return apart.square() / 2
    apart = apart.clamp(-20.0, 20.0)
    return (apart.exp() - apart - 1).clamp(-10.0, 10.0)


def entropy_bonus(entropy: Tensor, coefficient: float) -> Tensor:
    """[tokens], to be added to the loss: -coefficient H, of `entropy` [tokens], that of the distribution each token was drawn from.

    So a positive coefficient rewards a policy for staying undecided (Williams and Peng 1991, "Function optimization using
    connectionist reinforcement learning algorithms"; Mnih et al. 2016, A3C, arXiv:1602.01783, 4).
    """
    return -coefficient * entropy


def importance(old: Tensor, rollout: Tensor, most: float) -> Tensor:
    """[tokens], no gradient: min(exp(old - rollout), most), of what trainer and rollout engine computed for one policy.

    Truncated importance sampling against the mismatch of two engines (Yao et al. 2025, "Your efficient RL framework secretly brings
    you off-policy RL training", https://fengyao.notion.site/off-policy-rl).
    """
    return (old - rollout).clamp(-20.0, 20.0).exp().clamp(max=most).detach()


def token_weights(counts: Sequence[int], how: Aggregation, horizon: int = 0) -> list[float]:
    """For each completion the weight of each of its tokens, such that the loss of the batch is the weighted sum.

    T tokens in N completions, t of them in one; completions without tokens count in none of these.

    - `token-mean`: 1 / T (Yu et al. 2025, DAPO, eq. 12).
    - `seq-mean-token-mean`: 1 / (N t) (Shao et al. 2024, GRPO, arXiv:2402.03300, eq. 3).
    - `seq-mean-token-sum`: 1 / N.
    - `seq-mean-token-sum-norm`: 1 / (N horizon), the same for short and long ones (Liu et al. 2025, Dr. GRPO, arXiv:2503.20783,
      appendix); `horizon` is the most tokens that a completion may have.
    """
    total, present = sum(counts), sum(count > 0 for count in counts)
    means = {"token-mean": total, "seq-mean-token-sum-norm": present * horizon}.get(how, present)
    return [1 / (means * count if how == "seq-mean-token-mean" else means) if count else 0.0 for count in counts]


def aggregated(values: Tensor, counts: Sequence[int], weights: Sequence[float]) -> Tensor:
    """The weighted sum of `values` [tokens]; `weights` of the completions as `token_weights` makes them."""
    return (values * torch.tensor(weights, device=values.device)[owners(counts, values.device)]).sum()
