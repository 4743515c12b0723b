"""A LoRA adapter between two, of which one was trained on from the other. Needs the standard library alone."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .adapter import DEFAULTS, opened, written
from .safetensors import Tensor, cast

_SCALES = ("r", "lora_alpha", "use_rslora", "rank_pattern")
"""Options of peft that say how much an adapter's weights are worth; all of them must be the same."""


def blend(one: Path, other: Path, share: float, out: Path) -> None:
    """Write to the folder `out` the adapter whose factors are (1 - share) those of `one` plus share those of `other`, in float32.

    What a continued training has changed is so kept in part, and what it has cost elsewhere comes back (Wortsman et al. 2022,
    "Robust fine-tuning of zero-shot models", arXiv:2109.01903; Ramé et al. 2024, WARP, arXiv:2406.16768, 3.3). The product of two
    factors is not linear in them: between adapters that were trained apart the blend is worth nothing, which nothing here notices.

    Raises `ValueError` for adapters of different shapes, scales or models, or a share beyond 0..1, and `OSError`.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share is {share:g}; it must be within 0..1")
    (first, ours), (second, theirs) = opened(one), opened(other)
    _check_model(one, first, other, second)
    for option in _SCALES:
        if _option(first, option) != _option(second, option):
            raise ValueError(f"{one} has {option} = {_option(first, option)!r}, and {other} {_option(second, option)!r}")
    if unlike := [name for name in sorted({*ours, *theirs}) if _shape(ours, name) != _shape(theirs, name)]:
        has = f"{unlike[0]} has the shape {_shape(ours, unlike[0])} in {one} and {_shape(theirs, unlike[0])} in {other}"
        raise ValueError(f"the adapters do not fit each other: {has}")
    written(out, second, [_between(ours[name], tensor, share) for name, tensor in theirs.items()])


def _check_model(one: Path, first: Mapping[str, Any], other: Path, second: Mapping[str, Any]) -> None:
    """Raises `ValueError` where both adapters say what they belong to, and it is not the same."""
    ours, theirs = (config.get("base_model_name_or_path") for config in (first, second))
    if ours and theirs and ours != theirs:
        raise ValueError(
            f"{one} belongs to {ours}, and {other} to {theirs}; where both are the same model, give them one name: "
            "k2 models export FOLDER --out FOLDER --base NAME"
        )


def _option(config: Mapping[str, Any], name: str) -> Any:
    """As peft takes it."""
    value = config.get(name)
    return DEFAULTS.get(name) if value is None else value


def _shape(tensors: Mapping[str, Tensor], name: str) -> list[int] | None:
    return list(tensors[name].shape) if name in tensors else None


def _between(one: Tensor, other: Tensor, share: float) -> Tensor:
    ours, theirs = (cast(t.data, t.dtype, "F32").cast("f") for t in (one, other))
    mixed = array("f", (a + share * (b - a) for a, b in zip(ours, theirs, strict=True)))
    return Tensor(other.name, "F32", other.shape, memoryview(mixed.tobytes()))
