"""What verl calls the algorithms: estimator of advantages, loss, clip range, how token losses are summed up."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..config import VerlConfig

ADVANTAGES = {
    "grpo": ("grpo", True),
    "dr-grpo": ("grpo", False),
    "rloo": ("rloo", True),
    "reinforce++": ("reinforce_plus_plus", True),
}
"""verl's estimator, and whether it divides by the standard deviation of the group."""


class Recipe(NamedTuple):
    """One algorithm."""

    advantage: str = "grpo"
    loss: str = "vanilla"
    clip: tuple[float, float] = (0.2, 0.2)
    """How far a probability ratio may fall and rise."""
    aggregation: str = "token-mean"
    filtered: bool = False
    """Groups whose answers are all right or all wrong are drawn anew (dynamic sampling)."""


RECIPES = {
    # DeepSeekMath, arXiv 2402.03300; mean over tokens and without a divergence term, as Guru does it (arXiv 2506.14965)
    "grpo": Recipe(),
    # "Dr. GRPO", arXiv 2503.20783: neither divided by the deviation nor by the length
    "drgrpo": Recipe(advantage="dr-grpo", aggregation="seq-mean-token-sum-norm"),
    # DAPO, arXiv 2503.14476: clip-higher, token-level loss, dynamic sampling
    "dapo": Recipe(clip=(0.2, 0.28), filtered=True),
    # GSPO, arXiv 2507.18071: ratios of whole sequences
    "gspo": Recipe(loss="gspo", clip=(3e-4, 4e-4), aggregation="seq-mean-token-mean"),
    # CISPO, arXiv 2506.13585: clipped weights in place of clipped gradients, without a lower bound
    "cispo": Recipe(loss="cispo", clip=(1.0, 0.2)),
    # "Back to basics", arXiv 2402.14740: each answer against the mean of the others
    "rloo": Recipe(advantage="rloo"),
    # arXiv 2501.03262: normalised over the whole batch
    "reinforce++": Recipe(advantage="reinforce++"),
}


def algorithm_settings(config: VerlConfig) -> dict[str, Any]:
    """verl's settings for the algorithm with what the table `loss` changes."""
    recipe, loss = RECIPES[config.algorithm], config.loss
    low = recipe.clip[0] if loss.clip_low is None else loss.clip_low
    high = recipe.clip[1] if loss.clip_high is None else loss.clip_high
    estimator, by_deviation = ADVANTAGES[loss.advantage or recipe.advantage]
    level = {None: recipe.loss, "sequence": "gspo", "token": "vanilla" if recipe.loss == "gspo" else recipe.loss}
    actor: dict[str, Any] = {
        "policy_loss.loss_mode": level[loss.level],
        "clip_ratio": low,
        "clip_ratio_low": low,
        "clip_ratio_high": high,
        "clip_ratio_c": loss.dual_clip,
        "loss_agg_mode": loss.aggregation or recipe.aggregation,
        "ppo_epochs": config.epochs,
        "entropy_coeff": loss.entropy,
        "calculate_entropy": True,  # to be logged; the loss uses it only with a weight
        "use_kl_loss": loss.kl > 0,
        "kl_loss_coef": loss.kl,
        "kl_loss_type": loss.kl_estimator,
    }
    found: dict[str, Any] = {
        "algorithm.adv_estimator": estimator,
        "algorithm.norm_adv_by_std_in_grpo": by_deviation,
        "algorithm.use_kl_in_reward": False,
    }
    if recipe.filtered if config.dynamic_sampling is None else config.dynamic_sampling:
        found |= {"algorithm.filter_groups.enable": True, "algorithm.filter_groups.metric": "reward"}
    if loss.importance_cap:
        found |= {"algorithm.rollout_correction.rollout_is": "token"}
        found |= {"algorithm.rollout_correction.rollout_is_threshold": loss.importance_cap}
    return found | {f"actor_rollout_ref.actor.{key}": value for key, value in actor.items()}
