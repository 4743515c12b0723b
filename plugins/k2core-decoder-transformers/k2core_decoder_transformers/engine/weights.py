"""Other weights for a model that is at work: what they must be, and how they come into its engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .core import Engine


@dataclass(eq=False)
class Swap:
    """Weights on their way into an engine; `ended(error)` is called in its thread."""

    weights: Mapping[str, Any]
    ended: Callable[[Exception | None], None]


async def swap(engine: Engine, weights: Mapping[str, Any] | str) -> None:
    """Have the engine take weights over as soon as the requests before have ended; those after this call wait for it.

    Raises `ValueError` where they do not fit, and nothing has changed. When cancelled, nothing has changed either, or all has.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Exception | None] = loop.create_future()
    arrays = await asyncio.to_thread(read, weights) if isinstance(weights, str) else weights
    asked = Swap(arrays, lambda error: _tell(loop, done, error))
    engine.submit(asked)
    try:
        await asyncio.wait([done])
    except asyncio.CancelledError:
        if not engine.inbox.withdraw(asked):
            await asyncio.wait([done])  # they are being copied, which takes a moment
        raise
    if (failure := done.result()) is not None:
        raise failure


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Future[Exception | None], error: Exception | None) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed by force; nobody waits any more
        loop.call_soon_threadsafe(done.set_result, error)


def read(folder: str) -> Mapping[str, Tensor]:
    """The arrays of all safetensors files in a folder. Raises `ValueError` where there are none, or those of an adapter only."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = Path(folder).expanduser()
    if (place / "adapter_config.json").is_file():
        raise ValueError(f"{place} holds an adapter; weights to be loaded are those of the whole model, with the adapter merged")
    files = sorted(place.glob("*.safetensors"))
    if not files:
        raise ValueError(f"there are no weights in {place}: a folder with *.safetensors is needed")
    found: dict[str, Tensor] = {}
    for file in files:
        try:
            found |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
    return found


def fitting(model: Any, weights: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """For each parameter of the model its new value. One that the model uses under several names needs one of them.

    Raises `ValueError` where a parameter is missing or unknown, has another shape, or cannot be read: whoever takes the values over
    can do so for all of them.
    """
    names: dict[int, list[str]] = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, parameter in parameters.items():
        names.setdefault(id(parameter), []).append(name)
    given = {key: next((name for name in alike if name in weights), alike[0]) for key, alike in names.items()}
    missing, unknown = (
        [name for name in given.values() if name not in weights],
        [name for name in weights if name not in parameters],
    )
    if missing or unknown:
        raise ValueError(f"these are not the weights of this model: {_some('missing', missing)}{_some('unknown', unknown)}")
    arrays = {key: _array(name, weights[name], tuple(parameters[name].shape)) for key, name in given.items()}
    return lambda parameter: arrays[id(parameter)]


def _array(name: str, value: Any, wanted: tuple[int, ...]) -> Tensor:
    shape = getattr(value, "shape", None)
    if shape is None or tuple(shape) != wanted:
        got = "no array" if shape is None else str(tuple(shape))
        raise ValueError(f"these are not the weights of this model: {name} is {got}, it must be {wanted}")
    try:
        array = torch.as_tensor(value)
    except Exception as error:  # what a library of arrays raises is its own affair
        raise ValueError(f"{name} cannot be read: {error}") from error
    if array.is_meta or array.layout is not torch.strided:
        raise ValueError(f"{name} cannot be read: {'it has no values' if array.is_meta else f'its layout is {array.layout}'}")
    return array


def _some(what: str, names: list[str]) -> str:
    return f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}) " if names else ""
