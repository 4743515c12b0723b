"""A forward pass over ragged rows of many sequences, with their keys and values in slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .batch import Batch


class Forward(Protocol):
    """Logits for the rows of a batch that want them."""

    token_bytes: int
    """Bytes that one token takes in the cache."""

    def __call__(self, batch: Batch) -> Tensor: ...
    def rows(self, count: int) -> int:
        """How many rows a pass over so many really computes."""

    def refresh(self) -> None:
        """Take over weights that were changed in place."""

    def take(self, array_of: Callable[[Tensor], Tensor]) -> None:
        """Take over other weights: `array_of` a parameter of the model is its new value."""


def forward_for(model: Any, fused: bool = True) -> Forward:
    """Our own pass for Llama-like models, transformers' modules otherwise. Raises `ValueError` where neither can do it."""
    from .fused import Fused, fits
    from .modules import Modules

    return Fused(model) if fused and fits(model) else Modules(model)
