"""What verl 0.9.1 and TRL 1.16.0 compute on small random batches, written beside this script as JSON.

    python generate.py verl      # where verl 0.9.1 is installed
    python generate.py trl       # where TRL 1.16.0 is

The tests compare `k2core_trainer_grpo`'s losses with the files; where a library can be imported they check the file against it too.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

HERE = Path(__file__).parent
VERSIONS = {"verl": "0.9.1", "trl": "1.16.0"}
LONGEST = 9
VOCABULARY = 7


def batch(seed: int, empty: bool = False) -> dict[str, Any]:
    """Eight completions of two prompts: rewards, advantages, and for each token what three policies think of it."""
    rng = random.Random(seed)
    counts = [rng.randint(1, LONGEST) for _ in range(8)]
    counts[3] = LONGEST
    if empty:
        counts[5] = 0
    made: dict[str, Any] = {"counts": counts, "groups": [0, 0, 1, 0, 1, 1, 0, 1]}
    made["rewards"] = [rng.choice([0.0, 0.0, 0.25, 1.0]) for _ in counts]
    made["advantages"] = [round(rng.gauss(0, 1), 4) for _ in counts]
    tokens = range(sum(counts))
    made["logprobs"] = [round(-rng.expovariate(0.7), 4) for _ in tokens]
    for name, spread in (("old", 0.3), ("reference", 0.5), ("rollout", 0.35)):
        made[name] = [round(value + rng.gauss(0, spread), 4) for value in made["logprobs"]]
    return made


def scores(seed: int) -> torch.Tensor:
    """[completions, LONGEST, VOCABULARY]: logits at each place of a batch, also beyond the ends."""
    rng = random.Random(f"scores/{seed}")
    return torch.tensor([[[round(rng.gauss(0, 2), 4) for _ in range(VOCABULARY)] for _ in range(LONGEST)] for _ in range(8)])


def padded(values: list[float], counts: list[int]) -> torch.Tensor:
    """[completions, LONGEST] of a flat list; junk beyond the end of each."""
    rows, at = torch.full((len(counts), LONGEST), 0.5), 0
    for row, count in zip(rows, counts, strict=True):
        row[:count] = torch.tensor(values[at : at + count])
        at += count
    return rows


def flat(rows: torch.Tensor, counts: list[int]) -> list[float]:
    return [float(value) for row, count in zip(rows, counts, strict=True) for value in row[:count]]


def differentiated(data: dict[str, Any], loss: Callable[..., torch.Tensor]) -> dict[str, Any]:
    """The loss, and its gradient by the token."""
    counts = data["counts"]
    tensors = {name: padded(data[name], counts) for name in ("logprobs", "old", "reference", "rollout")}
    mask = (torch.arange(LONGEST) < torch.tensor(counts).unsqueeze(1)).float()
    tensors["logprobs"].requires_grad_()
    value = loss(mask=mask, advantages=torch.tensor(data["advantages"]), **tensors)
    [gradient] = torch.autograd.grad(value, tensors["logprobs"])
    return {"loss": float(value.detach()), "gradient": [round(x, 9) for x in flat(gradient, counts)]}


# verl


def verl_cases() -> list[dict[str, Any]]:
    from verl.trainer.ppo import core_algos

    cases: list[dict[str, Any]] = []
    for seed in (1, 2):
        data = batch(seed)
        index = torch.tensor(data["groups"]).numpy()
        rewards, mask = torch.tensor(data["rewards"]).unsqueeze(1), torch.ones(8, 1)
        found = {
            "grpo": core_algos.compute_grpo_outcome_advantage(rewards.clone(), mask, index)[0],
            "dr-grpo": core_algos.compute_grpo_outcome_advantage(rewards.clone(), mask, index, norm_adv_by_std_in_grpo=False)[0],
            "rloo": core_algos.compute_rloo_outcome_advantage(rewards.clone(), mask, index)[0],
        }
        cases += [{"what": "advantages", "seed": seed, "kind": kind, "values": made[:, 0].tolist()} for kind, made in found.items()]
        for kind in ("k1", "k2", "k3"):
            apart = core_algos.kl_penalty(torch.tensor(data["logprobs"]), torch.tensor(data["reference"]), kind)
            cases.append({"what": "divergence", "seed": seed, "kind": kind, "values": apart.tolist()})
    modes = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")
    for level in ("token", "sequence"):
        for how in modes:
            for seed, empty, rollout in ((3, False, 0.0), (4, True, 1.2)):
                options = {"level": level, "how": how, "low": 0.1, "high": 0.25, "dual": 1.6 if level == "token" else None}
                data = batch(seed, empty)
                made = differentiated(data, _verl_loss(core_algos, rollout=rollout, **options))
                cases.append({"what": "loss", "seed": seed, "empty": empty, "rollout": rollout, **options, **made})
    return [*cases, *(_verl_bonus(how, *case) for how in modes for case in ((7, False, 1.0, 0.01), (8, True, 0.7, 0.3)))]


def _verl_bonus(how: str, seed: int, empty: bool, temperature: float, coefficient: float) -> dict[str, Any]:
    """verl's whole loss with `entropy_coeff`, of token 0 everywhere, and its gradient by the logits."""
    from verl.utils.tensordict_utils import get_tensordict
    from verl.utils.torch_functional import entropy_from_logits
    from verl.workers.config import ActorConfig
    from verl.workers.utils.losses import ppo_loss

    data, logits = batch(seed, empty), scores(seed).requires_grad_()
    counts, soft = data["counts"], logits / temperature
    mask = torch.arange(LONGEST) < torch.tensor(counts).unsqueeze(1)
    first = torch.ones(8, 1, dtype=torch.bool)  # a prompt of one token; verl's outputs are one place ahead of what they predict
    held = {
        "prompts": torch.zeros(8, 1, dtype=torch.long),
        "responses": torch.zeros(8, LONGEST, dtype=torch.long),
        "attention_mask": torch.cat([first, mask], 1),
        "response_mask": mask,
        "old_log_probs": soft.log_softmax(-1)[..., 0].detach() + padded(data["old"], counts) - padded(data["logprobs"], counts),
        "advantages": torch.tensor(data["advantages"]).unsqueeze(1).repeat(1, LONGEST),
    }
    made = {"log_probs": soft.log_softmax(-1)[..., 0], "entropy": entropy_from_logits(soft)}
    output = {
        name: torch.cat([torch.cat([row[:n], row[:1]]) for row, n in zip(v, counts, strict=True)]) for name, v in made.items()
    }
    config = ActorConfig(
        strategy="fsdp", rollout_n=4, use_dynamic_bsz=True, entropy_coeff=coefficient, loss_agg_mode=how, clip_ratio_low=0.1,
        clip_ratio_high=0.25, clip_ratio_c=1.6,
    )  # fmt: skip
    whole = get_tensordict(held, {"dp_size": 1, "batch_num_tokens": None, "global_batch_size": None})
    loss = ppo_loss(config, output, whole)[0]
    [gradient] = torch.autograd.grad(loss, logits)
    options = {"temperature": temperature, "entropy": coefficient, "how": how, "low": 0.1, "high": 0.25, "dual": 1.6}
    rows = [[round(x, 9) for x in place] for row, n in zip(gradient.tolist(), counts, strict=True) for place in row[:n]]
    return {"what": "bonus", "seed": seed, "empty": empty, **options, "loss": float(loss.detach()), "gradient": rows}


def _verl_loss(algos: Any, level: str, how: str, low: float, high: float, dual: float | None, rollout: float) -> Any:
    from verl.workers.config import ActorConfig

    config = ActorConfig(
        strategy="fsdp",
        rollout_n=4,
        use_dynamic_bsz=True,
        clip_ratio_low=low,
        clip_ratio_high=high,
        clip_ratio_c=dual or 3.0,
        loss_agg_mode=how,
    )
    function = algos.get_policy_loss_fn("vanilla" if level == "token" else "gspo")

    def loss(*, mask: Any, advantages: Any, logprobs: Any, old: Any, reference: Any, rollout_: Any) -> Any:
        weights = (old - rollout_).clamp(-20, 20).exp().clamp(max=rollout) if rollout else None
        wide = advantages.unsqueeze(1).expand_as(mask)
        return function(old, logprobs, wide, mask, how, config, weights)[0]

    return lambda **given: loss(rollout_=given.pop("rollout"), **given)


# TRL


def trl_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    hows = {"grpo": "seq-mean-token-mean", "bnpo": "token-mean", "dr_grpo": "seq-mean-token-sum-norm", "dapo": "token-mean"}
    for level in ("token", "sequence"):
        for kind, how in hows.items():
            if level == "sequence" and kind != "grpo":
                continue  # there TRL's loss is one value a completion, and its means are taken otherwise
            for seed, beta, dual in ((5, 0.0, None), (6, 0.04, 1.6)):
                options = {"level": level, "how": how, "low": 0.1, "high": 0.25, "dual": dual, "beta": beta}
                made = differentiated(batch(seed), _trl_loss(kind, level, beta, dual))
                cases.append({"what": "loss", "seed": seed, "empty": False, "rollout": 0.0, "kind": kind, **options, **made})
    return cases


def _trl_loss(kind: str, level: str, beta: float, delta: float | None) -> Any:
    """`GRPOTrainer._compute_loss` on a trainer that knows its log-probabilities already."""
    from collections import defaultdict

    from trl import GRPOTrainer

    def loss(mask: Any, advantages: Any, logprobs: Any, old: Any, reference: Any, rollout: Any) -> Any:
        known = defaultdict(list)
        trainer = SimpleNamespace(
            _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None),
            args=SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1),
            accelerator=SimpleNamespace(num_processes=1, reduce=lambda x, **_: x, gather=lambda x: x),
            model=SimpleNamespace(training=True),
            _metrics={"train": known},
            loss_type=kind,
            importance_sampling_level=level,
            epsilon_low=0.1,
            epsilon_high=0.25,
            beta=beta,
            max_completion_length=LONGEST,
            current_gradient_accumulation_steps=1,
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            aux_loss_enabled=False,
            use_vllm=False,
            vllm_importance_sampling_correction=False,
            _entropy_bonus_enabled=False,
        )
        inputs = {
            "prompt_ids": torch.zeros(len(mask), 1, dtype=torch.long),
            "prompt_mask": torch.ones(len(mask), 1),
            "completion_ids": torch.zeros_like(mask, dtype=torch.long),
            "completion_mask": mask,
            "advantages": advantages,
            "old_per_token_logps": old,
            "ref_per_token_logps": reference,
            "num_items_in_batch": mask.sum(),
        }
        return GRPOTrainer._compute_loss(trainer, None, inputs)

    return loss


CASES = {"verl": verl_cases, "trl": trl_cases}


def main(library: str) -> None:
    installed = version(library)
    if installed != VERSIONS[library]:
        raise SystemExit(f"{library} {installed} is installed; these files are of {VERSIONS[library]}")
    lines = [json.dumps(case) for case in CASES[library]()]
    head = json.dumps({"library": library, "version": installed, "torch": torch.__version__, "script": "generate.py"})
    (HERE / f"{library}.jsonl").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
