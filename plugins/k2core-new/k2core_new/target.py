"""What is to be checked: an installed distribution by its name, or a project or wheel by its path, installed into a folder."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from k2core import ConfigError, Registry

from .settings import CheckSettings, read

INSTALL_SECONDS = 300.0
_SAID = 600
"""Characters of what pip says that are passed on."""


@dataclass(frozen=True)
class Target:
    """A distribution that can be imported once `path` is put in front of `sys.path`."""

    source: str
    dist: metadata.Distribution
    path: str = ""
    """Folder that it was installed into for the check; empty when it is installed anyway."""
    settings: Mapping[str, CheckSettings] | None = None
    """By entry point's name."""


@contextmanager
def opened(source: str, settings: Path | None = None) -> Iterator[Target]:
    """The distribution that `source` means. Raises `ConfigError` when there is none, or it cannot be built and installed."""
    given = read(settings)
    if not _is_path(source):
        yield Target(source, _installed(source), settings=given)
        return
    project = Path(source)
    if not project.exists():
        raise ConfigError(f"there is no {source}", "PACKAGE")
    own = project / "pyproject.toml"
    if project.is_dir() and not own.is_file():
        raise ConfigError(f"{source} holds no pyproject.toml; `k2 new` writes a project that has all it needs", "PACKAGE")
    known = read(own if project.is_dir() else None) | given
    with tempfile.TemporaryDirectory(prefix="k2-check-") as folder:
        _install(project, folder)
        (dist,) = metadata.distributions(path=[folder])
        yield Target(source, dist, folder, known)


def _is_path(source: str) -> bool:
    if os.sep in source or source.startswith(".") or source.endswith(".whl"):
        return True
    return Path(source, "pyproject.toml").is_file() and source not in {found.dist for found in Registry().find_all()}


def _installed(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        names = sorted({found.dist for found in Registry().find_all()})
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"those with plugins are: {', '.join(names)}."
        raise ConfigError(f"no distribution {name!r} is installed; {hint} A folder is given as ./{name}", "PACKAGE") from None


def _install(project: Path, folder: str) -> None:
    """Build and install a project or wheel, without what it depends on. Raises `ConfigError` with what pip said."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--target", folder]
    if project.is_dir() and _can_build(project):
        command.append("--no-build-isolation")  # so that it works without a network
    try:
        # resolved: what was ./name would else be a name to pip
        done = subprocess.run([*command, str(project.resolve())], capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"building {project} did not end within {INSTALL_SECONDS:.0f} s", "PACKAGE") from None
    if done.returncode:
        said = [
            line.strip() for line in (done.stderr or done.stdout).splitlines() if re.match(r"\s*\w*(error|exception)\b", line, re.I)
        ]
        raise ConfigError(f"{project} cannot be built and installed; pip said: {' '.join(said)[-_SAID:] or 'nothing'}", "PACKAGE")


def _can_build(project: Path) -> bool:
    """Whether what the build needs is here already."""
    try:
        data = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
        needs = [Requirement(text) for text in data["build-system"]["requires"]]
        return all(need.specifier.contains(metadata.version(need.name), prereleases=True) for need in needs)
    except (KeyError, TypeError, InvalidRequirement, metadata.PackageNotFoundError, tomllib.TOMLDecodeError):
        return False
