"""The optimiser against torch's own, its schedule, its masters, and gradients that are not finite."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from k2core_training.errors import TrainingError  # noqa: E402
from k2core_training.optimizing import Optimizer  # noqa: E402
from k2core_training.options import OptimizerOptions, learning_rate  # noqa: E402


def parameters(dtype: Any = None) -> list[tuple[str, Any]]:
    torch.manual_seed(0)
    made = [("matrix", torch.randn(6, 5)), ("vector", torch.randn(6))]
    return [(name, torch.nn.Parameter(value.to(dtype or torch.float32))) for name, value in made]


def give(named: list[tuple[str, Any]], step: int, scale: float = 1.0) -> None:
    """Gradients, through autograd as in a training."""
    torch.manual_seed(100 + step)
    sum((parameter * torch.randn(parameter.shape).to(parameter.dtype) * scale).sum() for _, parameter in named).backward()


def test_steps_are_those_of_adamw_with_clipping_and_decay_of_matrices_only() -> None:
    options = OptimizerOptions(lr=0.01, weight_decay=0.1, clip=0.5, schedule="constant", warmup=0)
    ours, theirs = parameters(), parameters()
    mine = Optimizer(ours, options, 10)
    groups = [{"params": [theirs[0][1]], "weight_decay": 0.1}, {"params": [theirs[1][1]], "weight_decay": 0.0}]
    yours = torch.optim.AdamW(groups, lr=0.01, betas=options.betas, eps=options.eps)
    for step in range(6):
        give(ours, step)
        give(theirs, step)
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in theirs], 0.5)
        info = mine.step()
        yours.step()
        yours.zero_grad()
        assert info.grad_norm == pytest.approx(float(norm))
    assert all(torch.allclose(a, b, atol=1e-6) for (_, a), (_, b) in zip(ours, theirs, strict=True))


def test_the_learning_rate_is_a_function_of_the_step() -> None:
    options = OptimizerOptions(lr=1.0, warmup=4, schedule="cosine", floor=0.1)
    rates = [learning_rate(step, 20, options) for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates == [*rates[:5], *sorted(rates[5:], reverse=True)]
    assert rates[12] == pytest.approx(0.1 + 0.9 * 0.5)
    assert learning_rate(19, 20, OptimizerOptions(lr=1.0, warmup=0, schedule="linear")) == pytest.approx(0.05)
    assert learning_rate(99, 20, options) == pytest.approx(0.1)
    assert learning_rate(0, 100, OptimizerOptions(lr=1.0, warmup=0.1)) == pytest.approx(0.1)
    assert learning_rate(50, 100, OptimizerOptions(lr=1.0, warmup=0, schedule="constant")) == 1.0


def test_steps_too_small_for_bfloat16_are_not_lost() -> None:
    """200 steps of 1e-5 move a weight near 1 by 2e-3; bfloat16 alone would round each of them away."""
    held = [("weight", torch.nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16)))]
    optimizer = Optimizer(held, OptimizerOptions(lr=1e-5, schedule="constant", warmup=0, clip=0), 200)
    for _ in range(200):
        held[0][1].sum().backward()
        assert held[0][1].grad is None  # it has gone to the master
        optimizer.step()
    master = optimizer.state()["weights"]["weight"]
    assert master.dtype == torch.float32
    assert torch.allclose(master, torch.full((4, 4), 1 - 2e-3), atol=1e-4)
    assert torch.equal(held[0][1].data, master.bfloat16())


def test_gradients_of_several_passes_are_summed_in_float32() -> None:
    held = [("weight", torch.nn.Parameter(torch.zeros(1, 1, dtype=torch.bfloat16)))]
    optimizer = Optimizer(held, OptimizerOptions(clip=0), 1)
    held[0][1].mul(256.0).sum().backward()
    for _ in range(64):  # each is less than half of bfloat16's step at 256
        held[0][1].mul(0.5).sum().backward()
    assert optimizer.step().grad_norm == 288.0


def test_a_gradient_that_is_not_finite_is_a_counted_skip_and_too_many_an_error() -> None:
    held = parameters()
    optimizer = Optimizer(held, OptimizerOptions(bad_steps=3), 10)
    before = [parameter.detach().clone() for _, parameter in held]
    for bad in (math.nan, math.inf):
        give(held, 0, bad)
        assert optimizer.step().skipped
    assert all(torch.equal(a, b) for a, (_, b) in zip(before, held, strict=True))
    give(held, 0)
    assert not optimizer.step().skipped
    assert (optimizer.count, optimizer.skipped) == (3, 2)
    for _ in range(3):
        assert not optimizer.fault
        give(held, 0, math.nan)
        optimizer.step()
    assert "not finite in 3 steps in a row (until step 6)" in optimizer.fault
    assert "optimizer.lr" in optimizer.fault


@pytest.mark.parametrize("option", ["lr", "eps", "weight_decay", "clip", "warmup"])
def test_options_are_finite(option: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        OptimizerOptions.model_validate({option: math.inf})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_going_on_from_a_state_is_going_on_to_the_bit(dtype: Any) -> None:
    options = OptimizerOptions(lr=0.05, weight_decay=0.01)

    def run(named: list[tuple[str, Any]], optimizer: Any, first: int, last: int) -> None:
        for step in range(first, last):
            give(named, step)
            optimizer.step()

    whole, parts, again = parameters(dtype), parameters(dtype), parameters(dtype)
    one, two, three = (Optimizer(named, options, 8) for named in (whole, parts, again))
    run(whole, one, 0, 8)
    run(parts, two, 0, 3)
    import io

    file = io.BytesIO()
    torch.save(two.state(), file)
    file.seek(0)
    for _, parameter in again:
        parameter.data.zero_()
    three.restore(torch.load(file, weights_only=True))
    run(again, three, 3, 8)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(whole, again, strict=True))
    assert all(torch.equal(one.state()["weights"][name], three.state()["weights"][name]) for name, _ in whole)


def test_the_state_of_another_model_is_refused() -> None:
    optimizer = Optimizer(parameters(), OptimizerOptions(), 1)
    with pytest.raises(TrainingError, match="another model or adapter"):
        Optimizer(parameters()[:1], OptimizerOptions(), 1).restore(optimizer.state())
    with pytest.raises(ValueError, match="nothing to train"):
        Optimizer([], OptimizerOptions(), 1)
