"""Pipelines behind one OpenAI-compatible address. `application(settings)` is an ASGI application; `k2 serve` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application import application, lifespan
    from .settings import Settings, load

__all__ = ["Settings", "application", "lifespan", "load"]


def __getattr__(name: str) -> Any:
    """Imported on first use: `k2 --help` must not pay for a web server."""
    from importlib import import_module

    homes = {"application": "application", "lifespan": "application", "Settings": "settings", "load": "settings"}
    if name in homes:
        return getattr(import_module(f".{homes[name]}", __name__), name)
    raise AttributeError(name)
