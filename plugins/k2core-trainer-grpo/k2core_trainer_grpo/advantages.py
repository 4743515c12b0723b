"""How much better a completion was than its siblings. Pure functions on tensors.

A *group* is the completions of one prompt; `groups` holds the number of each completion's group, from 0.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from .shaping import TOLERANCE

Baseline: TypeAlias = Literal["grpo", "dr-grpo", "rloo", "none"]


def advantages(rewards: Tensor, groups: Tensor, kind: Baseline = "grpo", epsilon: float = 1e-6) -> Tensor:
    """[completions]: of `rewards` [completions] in `groups` [completions].

    - `grpo`: (r - mean) / (std + epsilon), with the sample standard deviation of the group (Shao et al. 2024, DeepSeekMath,
      arXiv:2402.03300, 4.1.2).
    - `dr-grpo`: r - mean; the division favours questions that are too easy or too hard (Liu et al. 2025, arXiv:2503.20783, 3.1).
    - `rloo`: r - mean of the others = n / (n - 1) (r - mean) (Ahmadian et al. 2024, arXiv:2402.14740, eq. 8).

    - `none`: r, so that nothing is made less likely (Williams 1992, REINFORCE, without a baseline; where r is 0 or 1 it is RAFT,
      Dong et al. 2023, arXiv:2304.06767, which Xiong et al. 2025, arXiv:2504.11343, compare with GRPO).

    But for `none`, a completion whose siblings have the same reward, or that has none, has nothing to be compared with: 0, whatever
    rounding leaves of r - mean, which `grpo` would divide by as little.
    """
    if kind == "none":
        return rewards.clone()
    mean, std, size = _moments(rewards, groups)
    above = (rewards - mean[groups]).masked_fill(_alike(rewards, groups, len(size))[groups], 0.0)
    if kind == "grpo":
        return above / (std[groups] + epsilon)
    return above * (size / (size - 1).clamp(min=1))[groups] if kind == "rloo" else above


def _moments(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, sample standard deviation and size of each group, [groups]."""
    count = int(groups.max()) + 1 if len(groups) else 0
    size = torch.zeros(count).index_add_(0, groups, torch.ones_like(rewards))
    mean = torch.zeros(count).index_add_(0, groups, rewards) / size.clamp(min=1)
    squares = torch.zeros(count).index_add_(0, groups, (rewards - mean[groups]).square())
    return mean, (squares / (size - 1).clamp(min=1)).sqrt(), size


def _alike(rewards: Tensor, groups: Tensor, count: int) -> Tensor:
    """[groups]: whether `uniform` holds of each."""
    most = torch.full((count,), -torch.inf).scatter_reduce_(0, groups, rewards, "amax")
    least = torch.full((count,), torch.inf).scatter_reduce_(0, groups, rewards, "amin")
    return most - least <= TOLERANCE
