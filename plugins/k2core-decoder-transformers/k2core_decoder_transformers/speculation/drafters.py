"""From options to a drafter, by name; other distributions add theirs by entry point."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from .config import SpeculationConfig
from .lookup import PromptLookup
from .records import Drafter
from .sibling import Sibling
from .speculation import Speculation

if TYPE_CHECKING:
    from ..loading.loaded import Loaded

GROUP = "k2core.transformers.drafters.v1"

Maker = Callable[[SpeculationConfig, Any, threading.Event], Drafter]
"""What an entry point of `GROUP` names: called with the options, the loaded target and an event that is set when loading must
stop."""


def _model(config: SpeculationConfig, target: Loaded, stop: threading.Event) -> Drafter:
    from .draft_model import DraftModel

    return DraftModel.loaded(config, target, stop)


BUILT_IN: dict[str, Maker] = {
    "prompt-lookup": lambda config, target, stop: PromptLookup(config.shortest, config.longest),
    "sibling": lambda config, target, stop: Sibling(config.shortest, config.longest, config.memory),
    "draft-model": _model,
}


def maker(name: str) -> Maker:
    """The maker of that name. Raises ValueError for a name that nobody has: only entry points can add code, never a path."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        known = sorted({"none", *BUILT_IN, *(point.name for point in entry_points(group=GROUP))})
        raise ValueError(f"there is no drafter {name!r}; known are {', '.join(known)}")
    made: Maker = found[0].load()
    return made


def speculation_for(config: SpeculationConfig, target: Loaded, stop: threading.Event) -> Speculation | None:
    """What the engine calls, or None for `drafter: none`. Blocks while a draft model is loaded. Raises ValueError for an
    unknown drafter and for a draft model with another vocabulary."""
    if config.drafter == "none":
        return None
    drafter = maker(config.drafter)(config, target, stop)
    return Speculation(drafter, vocabulary(target), most=config.most, adaptive=config.adaptive)


def vocabulary(target: Loaded) -> int:
    """Rows of the target's embedding: a token at or above it cannot be fed."""
    size: int = target.model.get_input_embeddings().num_embeddings
    return size
