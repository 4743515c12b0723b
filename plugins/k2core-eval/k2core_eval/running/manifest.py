"""`run.json`: what an evaluation is, and whether another one is the same."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from k2core.config import validated
from k2core.errors import ConfigError
from k2core.registry import Registry, effective

from ..records import Manifest, TaskRun
from ..store.folder import MANIFEST, Folder
from .settings import Settings


def manifest_of(settings: Settings, opened: Mapping[str, Any], registry: Registry | None = None, origin: str = "") -> Manifest:
    """`opened` is the scorer's answer: its tasks, graders and their distributions."""
    slots = (registry or Registry()).assemble(settings.config)
    return Manifest(
        tasks=tuple(validated(TaskRun, task) for task in opened["tasks"]),
        config=effective(settings.config, slots),
        plugins={**{slot.path: slot.origin for slot in slots if slot.origin}, **opened["plugins"]},
        grading=opened["grading"],
        preset=settings.preset,
        seed=settings.seed,
        software={
            "k2core": version("k2core"),
            "k2core-eval": version("k2core-eval"),
            "python": platform.python_version(),
        },
        label=settings.label,
        origin=origin,
    )


def settle(folder: Folder, manifest: Manifest) -> bool:
    """Write the manifest, or compare it with the one that is there: then True. Raises `ConfigError` naming what differs."""
    file = folder.file(MANIFEST)
    if not file.exists():
        new = file.with_name(MANIFEST + ".new")
        new.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        os.replace(new, file)
        return False
    there, mine = folder.manifest().model_dump(mode="json"), manifest.model_dump(mode="json")
    differing = [f"{path} was {_short(old)} and is now {_short(new)}" for path, old, new in differences(there, mine)]
    if differing:
        raise ConfigError(
            f"{folder.path} holds another evaluation: {'; '.join(differing[:5])}"
            + (f"; and {len(differing) - 5} more" if len(differing) > 5 else "")
            + ". Name another folder, or go on with the same settings",
            differing[0].partition(" ")[0],
        )
    return True


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted paths at which two plain values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            name = one.get("name", place) if isinstance(one, Mapping) else place
            yield from differences(one, other, f"{path}.{name}")
    elif old != new:
        yield path, old, new


def _short(value: Any) -> str:
    text = "unset" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
