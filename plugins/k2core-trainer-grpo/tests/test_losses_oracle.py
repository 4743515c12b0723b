"""Our losses against those of verl 0.9.1 and TRL 1.16.0, value and gradient, to 1e-5."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from k2core_trainer_grpo import advantages, losses  # noqa: E402 # they need torch
from k2core_training.modelling.head import scored  # noqa: E402

HERE = Path(__file__).parent / "oracle"
NEAR = {"atol": 1e-5, "rtol": 1e-5}


def _generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", HERE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generate()


def stored(library: str) -> list[dict[str, Any]]:
    head, *cases = [json.loads(line) for line in (HERE / f"{library}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert head["version"] == GENERATE.VERSIONS[library]
    return cases


ALL = [(library, case) for library in ("verl", "trl") for case in stored(library)]


def name(value: Any) -> str:
    return (
        value if isinstance(value, str) else "-".join(str(value.get(key, "")) for key in ("what", "level", "kind", "how", "seed"))
    )


@pytest.mark.parametrize(("library", "case"), ALL, ids=name)
def test_it_computes_what_the_library_computes(library: str, case: dict[str, Any]) -> None:
    data = GENERATE.batch(case["seed"], case.get("empty", False))
    if case["what"] == "loss":
        value, gradient = ours(data, case)
        torch.testing.assert_close(value, torch.tensor(case["loss"]), **NEAR)
        torch.testing.assert_close(gradient, torch.tensor(case["gradient"]), **NEAR)
    elif case["what"] == "bonus":
        value, gradient = with_bonus(data, case)
        torch.testing.assert_close(value, torch.tensor(case["loss"]), **NEAR)
        torch.testing.assert_close(gradient, torch.tensor(case["gradient"]), **NEAR)
    elif case["what"] == "advantages":
        made = advantages.advantages(torch.tensor(data["rewards"]), torch.tensor(data["groups"]), case["kind"])
        torch.testing.assert_close(made, torch.tensor(case["values"]), **NEAR)
    else:
        made = losses.divergence(torch.tensor(data["logprobs"]), torch.tensor(data["reference"]), case["kind"])
        torch.testing.assert_close(made, torch.tensor(case["values"]), **NEAR)


def ours(data: dict[str, Any], case: dict[str, Any]) -> tuple[Any, Any]:
    """Loss and gradient, the batch in two parts, as accumulation makes them."""
    counts, half = data["counts"], 4
    weights = losses.token_weights(counts, case["how"], GENERATE.LONGEST)
    cut = sum(counts[:half])
    value, gradients = torch.zeros(()), []
    for part, tokens in ((slice(0, half), slice(0, cut)), (slice(half, None), slice(cut, None))):
        mine = counts[part]
        logprobs, old, reference, rollout = (torch.tensor(data[k][tokens]) for k in ("logprobs", "old", "reference", "rollout"))
        logprobs.requires_grad_()
        each = torch.tensor(data["advantages"][part])[losses.owners(mine)]
        loss = losses.clipped(losses.ratios(logprobs, old, mine, case["level"]), each, case["low"], case["high"], case["dual"])
        if case["rollout"]:
            loss = loss * losses.importance(old, rollout, case["rollout"])
        if beta := case.get("beta"):
            loss = loss + beta * losses.divergence(logprobs, reference, "k3")
        total = losses.aggregated(loss, mine, weights[part])
        gradients.append(torch.autograd.grad(total, logprobs)[0])
        value = value + total.detach()
    return value, torch.cat(gradients)


def with_bonus(data: dict[str, Any], case: dict[str, Any]) -> tuple[Any, Any]:
    """Loss and gradient [tokens, vocabulary] by the logits, which the head makes with an identity for weights."""
    counts, place = data["counts"], torch.arange(GENERATE.LONGEST)
    logits = GENERATE.scores(case["seed"])[place < torch.tensor(counts).unsqueeze(1)].requires_grad_()
    labels, eye = torch.zeros(len(logits), dtype=torch.long), torch.eye(GENERATE.VOCABULARY)
    made = scored(logits, eye, None, labels, temperature=case["temperature"], entropy=True)
    each = torch.tensor(data["advantages"])[losses.owners(counts)]
    old = made.logprobs.detach() + torch.tensor(data["old"]) - torch.tensor(data["logprobs"])
    loss = losses.clipped(losses.ratios(made.logprobs, old, counts), each, case["low"], case["high"], case["dual"])
    loss = loss + losses.entropy_bonus(made.entropy, case["entropy"])
    value = losses.aggregated(loss, counts, losses.token_weights(counts, case["how"], GENERATE.LONGEST))
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("library", ["verl", "trl"])
def test_the_files_hold_what_the_library_computes(library: str) -> None:
    """Where it is installed: `make verl`, or an environment with trl 1.16.0."""
    pytest.importorskip(library)
    fresh, known = GENERATE.CASES[library](), stored(library)
    assert len(fresh) == len(known)
    for one, other in zip(json.loads(json.dumps(fresh)), known, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, float | list):
                torch.testing.assert_close(torch.tensor(other[key]), torch.tensor(value), atol=1e-6, rtol=1e-6)
            else:
                assert other[key] == value
