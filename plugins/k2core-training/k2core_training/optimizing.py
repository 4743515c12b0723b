"""AdamW with float32 masters, a learning rate that is a function of the step, and gradients that are looked at first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from .errors import TrainingError
from .options import OptimizerOptions, learning_rate


class StepInfo(NamedTuple):
    """What a step did."""

    lr: float
    grad_norm: float
    """Euclidean norm over all that is trained, before clipping; not finite where the step was skipped."""
    skipped: bool


class Optimizer:
    """Steps on the gradients that are there when `step` is called: any number of backward passes may have been summed up.

    A parameter in bfloat16 gets a float32 master, into which each backward pass's gradient is added; the parameter is the master,
    rounded. So nothing is lost to rounding between steps or backward passes, and 16 bytes a weight are used besides its own 2.
    """

    def __init__(self, trainable: Sequence[tuple[str, Parameter]], options: OptimizerOptions, steps: int) -> None:
        if not trainable:
            raise ValueError("there is nothing to train")
        self.options, self.steps = options, steps
        self.count = 0
        """Steps made, skipped ones included."""
        self.skipped, self.in_a_row = 0, 0
        """Steps without a finite gradient: in all, and since the last that had one."""
        self._names = [name for name, _ in trainable]
        self._parameters = [parameter for _, parameter in trainable]
        self._masters: list[Tensor] = [self._master(parameter) for parameter in self._parameters]
        decays = [{"params": [m for m in self._masters if m.dim() >= 2], "weight_decay": options.weight_decay}]
        groups: list[Any] = [*decays, {"params": [m for m in self._masters if m.dim() < 2], "weight_decay": 0.0}]
        self._adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=options.lr, betas=options.betas, eps=options.eps, fused=True
        )  # fmt: skip

    def _master(self, parameter: Parameter) -> Tensor:
        if parameter.dtype == torch.float32:
            return parameter
        master = parameter.detach().float()

        def gather(held: Tensor) -> None:
            assert held.grad is not None
            if master.grad is None:
                master.grad = held.grad.float()
            else:
                master.grad += held.grad
            held.grad = None

        parameter.register_post_accumulate_grad_hook(gather)  # type: ignore[no-untyped-call]
        return master

    @torch.no_grad()
    def step(self) -> StepInfo:
        """Clip, step, and forget the gradients. One that is not finite is counted and forgotten without a step."""
        lr = learning_rate(self.count, self.steps, self.options)
        self.count += 1
        grads = [master.grad for master in self._masters if master.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))) if grads else 0.0
        if not math.isfinite(norm):
            self._forget()
            self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
            return StepInfo(lr, norm, True)
        self.in_a_row = 0
        if self.options.clip and norm > self.options.clip:
            torch._foreach_mul_(grads, self.options.clip / (norm + 1e-6))
        for group in self._adamw.param_groups:
            group["lr"] = lr
        self._adamw.step()
        self._forget()
        self._round()
        return StepInfo(lr, norm, False)

    @property
    def fault(self) -> str:
        """Why it is no use to go on; empty where it is: `bad_steps` in a row without a finite gradient."""
        if self.in_a_row < self.options.bad_steps:
            return ""
        return (
            f"the gradient was not finite in {self.in_a_row} steps in a row (until step {self.count}): begin anew in another "
            "folder, with a lower optimizer.lr, without the data of these steps, or in float32 (model.dtype); --resume makes "
            "one step more, and goes on if its gradient is finite"
        )

    def finite(self) -> bool:
        """Whether all that is trained is."""
        return all(bool(torch.isfinite(master).all()) for master in self._masters)

    def _forget(self) -> None:
        for master, parameter in zip(self._masters, self._parameters, strict=True):
            master.grad = parameter.grad = None

    def _round(self) -> None:
        pairs = [(p.data, m) for p, m in zip(self._parameters, self._masters, strict=True) if p is not m]
        if pairs:
            torch._foreach_copy_([held for held, _ in pairs], [master for _, master in pairs])

    def state(self) -> dict[str, Any]:
        """All that going on to the bit takes, what is trained included. The tensors are those in use: write them before a step."""
        kept = [self._adamw.state.get(master, {}) for master in self._masters]
        return {
            "count": self.count,
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "weights": {name: master.data for name, master in zip(self._names, self._masters, strict=True)},
            "moments": {name: dict(held) for name, held in zip(self._names, kept, strict=True)},
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`. Raises `TrainingError` for one of another model or adapter."""
        weights, moments = state["weights"], state["moments"]
        shapes = {name: master.shape for name, master in zip(self._names, self._masters, strict=True)}
        if {name: weight.shape for name, weight in weights.items()} != shapes:
            raise TrainingError("the checkpoint is of another model or adapter than the configuration names")
        for name, master in zip(self._names, self._masters, strict=True):
            master.data.copy_(weights[name])
            self._adamw.state[master] = {key: _placed(key, value, master) for key, value in moments[name].items()}
            if not self._adamw.state[master]:
                del self._adamw.state[master]
        self.count, self.skipped, self.in_a_row = state["count"], state["skipped"], state["in_a_row"]
        self._forget()
        self._round()


def _placed(key: str, value: Tensor, master: Tensor) -> Tensor:
    return value.clone() if key == "step" and master.device.type == "cpu" else value.clone().to(master.device)
