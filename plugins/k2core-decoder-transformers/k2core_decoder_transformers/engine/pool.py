"""Engines shared between the decoders of this process that ask for the same model with the same options."""

from __future__ import annotations

import atexit
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import TransformersConfig
from .core import Engine

if TYPE_CHECKING:
    from ..loading.loaded import Loaded
    from ..speculation.speculation import Speculation

_engines: dict[str, tuple[Engine, int]] = {}
_lock = threading.Lock()


def _key(config: TransformersConfig) -> str:
    """Options that matter per request only do not keep engines apart; a model that was saved anew does."""
    shared = config.model_copy(update={"think": "auto", "top_k": 0, "min_p": 0.0})
    paths = [Path(name).expanduser() for name in (config.model, *(adapter.path for adapter in config.lora))]
    files = [file for path in paths if path.exists() for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return shared.model_dump_json() + str([(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files])


def acquire(config: TransformersConfig, stop: threading.Event) -> Engine | None:
    """A loaded engine, which must be released; None when `stop` was set meanwhile. Blocks. Raises what loading raises."""
    key = _key(config)
    with _lock:
        if stop.is_set():
            return None
        engine, users = _engines.get(key, (None, 0))
        engine = engine or _made(config, stop)
        if engine is not None:
            _engines[key] = engine, users + 1
        return engine


def detach(engine: Engine, config: TransformersConfig, stop: threading.Event) -> Engine | None:
    """An engine that nobody else has or will get, for one that was acquired: the same, or a new one where it is shared.

    The shared one stays acquired, so that requests can end there, and must still be released. None when `stop` was set meanwhile.
    Blocks where a model must be loaded, and raises what loading raises.
    """
    with _lock:
        key, users = next(((key, users) for key, (held, users) in _engines.items() if held is engine), ("", 0))
        if not key:
            raise RuntimeError("the model has been unloaded")
        if users > 1:
            fresh = _made(config, stop)
            if fresh is None:
                return None
            engine = fresh
        else:
            del _engines[key]
        _engines[f"detached {id(engine)}"] = engine, 1
        return engine


def _made(config: TransformersConfig, stop: threading.Event) -> Engine | None:
    from ..loading import load

    loaded = load(config, stop)
    return None if stop.is_set() else Engine(config, loaded, _speculation(config, loaded, stop))


def _speculation(config: TransformersConfig, loaded: Loaded, stop: threading.Event) -> Speculation | None:
    if config.speculation.drafter == "none":
        return None
    from ..speculation.drafters import speculation_for

    return speculation_for(config.speculation, loaded, stop)


@atexit.register
def close_all() -> None:
    """At the interpreter's end: torch aborts the process where a thread still computes."""
    with _lock:
        engines = [engine for engine, _ in _engines.values()]
        _engines.clear()
    for engine in engines:
        engine.close()


def release(engine: Engine) -> None:
    """Give an engine back; the last one to do so frees it."""
    with _lock:
        key = next((key for key, (held, _) in _engines.items() if held is engine), None)
        if key is None:
            return  # closed already
        _, users = _engines.pop(key)
        if users > 1:
            _engines[key] = engine, users - 1
            return
    engine.close()
