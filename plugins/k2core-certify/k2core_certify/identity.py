"""What a decoder is: its plugin, options, libraries and model, in a form that two sides can compare."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from k2core_models import KNOWN, cached, shipped

from k2core import ConfigError, Registry

from .records import Identity, Model

_SMALL = 64 * 2**20
"""Files up to this size are read whole: adapters and small models are, the parts of large ones are told by name and size."""


def identify(table: Mapping[str, Any], distribution: str) -> Identity:
    """From a decoder's table in the effective configuration. Reads the model's file to hash it, which takes its time."""
    use, options = str(table["use"]), {name: value for name, value in table.items() if name != "use"}
    return Identity(
        plugin=use,
        distribution=distribution,
        engine=_libraries(distribution.partition(" ")[0]),
        options=options,
        digest=digest(table, distribution),
        model=model_of(options),
    )


def digest(table: Mapping[str, Any], distribution: str) -> str:
    """SHA-256 over the decoder's effective table and its distribution with version."""
    text = json.dumps([distribution, table], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Weights(NamedTuple):
    """What a decoder computes with."""

    model: str
    """Path or name; empty where the options name none."""
    adapters: tuple[tuple[str, float], ...] = ()
    """Path or name, and scale, of the LoRA adapters on it."""


def weights_of(options: Mapping[str, Any]) -> Weights:
    """By the options `model`, which may be an adapter's name, and `lora`: adapters with their scales, or paths by name of which
    `adapter` is in use. Raises as `shipped.unfolded`."""
    asked, lora = shipped.unfolded(str(options.get("model", ""))), options.get("lora") or ()
    if isinstance(lora, Mapping):
        lora = [{"path": lora[options["adapter"]]}] if options.get("adapter") else ()
    named = tuple((str(one["path"]), float(one.get("scale", 1.0))) for one in lora)
    return Weights(asked.model, (*((name, 1.0) for name in asked.adapters), *named))


def model_of(options: Mapping[str, Any]) -> Model:
    """The option `model`, with a hash where it is on this machine, of its adapters too."""
    weights = weights_of(options)
    path = locate(weights.model)
    digests = [hash_of(path) if path else "", *(hash_of(shipped.adapter_folder(name)) for name, _ in weights.adapters)]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return Model(name=str(options.get("model", "")), sha256=whole if digests[0] else "")


def locate(name: str) -> Path | None:
    """The file or folder behind a model's name: a path, or a name that `k2 models list` shows."""
    if not name:
        return None
    if (path := Path(name).expanduser()).exists():
        return path
    return cached(KNOWN[name]) if name in KNOWN else shipped.folder(name)


def hash_of(path: Path) -> str:
    """Of a file's bytes; of a folder's file names, sizes and the bytes of small files."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(f for f in path.rglob("*") if f.is_file()):
        size = file.stat().st_size
        total.update(f"{file.relative_to(path)} {size}\n".encode())
        total.update(file.read_bytes() if size <= _SMALL else b"")
    return total.hexdigest()


def distribution_of(use: str) -> str:
    """Name and version of the distribution behind a decoder plugin, as `RunStarted.plugins` tells them."""
    found = next((f for f in Registry().find_all() if (f.role, f.name) == ("decoder", use) and not f.why), None)
    return f"{found.dist} {found.dist_version}" if found else ""


def table_of(effective: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The table of one decoder. Raises `ConfigError`."""
    tables: Mapping[str, Mapping[str, Any]] = effective.get("decoders", {})
    if name not in tables:
        raise ConfigError(f"there is no decoder {name!r}; [decoders] has: {', '.join(tables) or 'none'}", f"decoders.{name}")
    return tables[name]


def _libraries(distribution: str) -> dict[str, str]:
    """Versions of what a distribution requires, extras included, as far as it is installed."""
    try:
        wanted = metadata.requires(distribution) or [] if distribution else []
    except metadata.PackageNotFoundError:
        return {}
    names = {re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in wanted}
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def version(name: str) -> str:
    """Of a distribution, empty where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
