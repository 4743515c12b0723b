"""A LoRA adapter between two, of which one was trained on from the other. Needs the standard library alone."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path

from .adapter import opened, written
from .safetensors import Tensor, cast

_SCALES = ("r", "lora_alpha", "use_rslora", "rank_pattern")
"""Options of peft that say how much an adapter's weights are worth; all of them must be the same."""


def blend(one: Path, other: Path, share: float, out: Path) -> None:
    """Write to the folder `out` the adapter whose factors are (1 - share) those of `one` plus share those of `other`, in float32.

    What a continued training has changed is so kept in part, and what it has cost elsewhere comes back (Wortsman et al. 2022,
    "Robust fine-tuning of zero-shot models", arXiv:2109.01903; Ramé et al. 2024, WARP, arXiv:2406.16768, 3.3). The product of two
    factors is not linear in them: between adapters that were trained apart the blend is worth nothing, which nothing here notices.

    Raises `ValueError` for adapters of different shapes or scales, or a share beyond 0..1, and `OSError`.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share is {share:g}; it must be within 0..1")
    (first, ours), (second, theirs) = opened(one), opened(other)
    for option in _SCALES:
        if first.get(option) != second.get(option):
            raise ValueError(f"{one} has {option} = {first.get(option)!r}, and {other} {second.get(option)!r}")
    if unlike := [name for name in sorted({*ours, *theirs}) if _shape(ours, name) != _shape(theirs, name)]:
        has = f"{unlike[0]} has the shape {_shape(ours, unlike[0])} in {one} and {_shape(theirs, unlike[0])} in {other}"
        raise ValueError(f"the adapters do not fit each other: {has}")
    written(out, second, [_between(ours[name], tensor, share) for name, tensor in theirs.items()])


def _shape(tensors: Mapping[str, Tensor], name: str) -> list[int] | None:
    return list(tensors[name].shape) if name in tensors else None


def _between(one: Tensor, other: Tensor, share: float) -> Tensor:
    ours, theirs = (cast(t.data, t.dtype, "F32").cast("f") for t in (one, other))
    mixed = array("f", (a + share * (b - a) for a, b in zip(ours, theirs, strict=True)))
    return Tensor(other.name, "F32", other.shape, memoryview(mixed.tobytes()))
