"""What `k2 doctor` looks at; every check is a function of its own that returns one `Finding`."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from k2core import PipelineConfig

    from .health import Health

TESTED = ((3, 11), (3, 13))
"""The oldest and the newest Python that k2core is tested with."""
MEMORY = 1.0
"""Gigabytes that the embedded model and its context need, generously."""
DISK = 0.3
"""Gigabytes that fetching the embedded model takes: the wheel, and the file out of it."""

DEFAULT_DISTS = (
    "the default pipeline needs k2core-planner-think, k2core-sampler, k2core-verifier-math, k2core-decoder-llamacpp and k2core-nano"
)


class Finding(NamedTuple):
    """What one check has found, and what to do about it."""

    name: str
    status: Literal["ok", "warn", "fail"]
    text: str
    advice: str = ""


def all_checks() -> Iterator[Finding]:
    """Every finding, the cheap ones first."""
    from .health import check_all

    yield python()
    yield Finding("platform", "ok", f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield cpu()
    yield memory()
    yield folder("home", Path.home(), "set HOME to a folder that you may write to")
    yield folder("cache", cache_folder(), "set K2CORE_CACHE to a folder that you may write to")
    yield disk(cache_folder())
    yield encoding(sys.stdout.encoding)
    healths = check_all()
    yield plugins(healths)
    yield from default_pipeline(healths)


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    text, (oldest, newest) = f"{platform.python_version()} at {sys.executable}", TESTED
    if version > newest:
        return Finding("python", "warn", text, f"k2core is tested up to {newest[0]}.{newest[1]}")
    if version < oldest:
        return Finding("python", "fail", text, f"install Python {oldest[0]}.{oldest[1]} or newer")
    return Finding("python", "ok", text)


def cpu() -> Finding:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    text = f"{usable} of {cores} cores usable, load {load:.1f}"
    if load > usable:
        return Finding("cpu", "warn", text, "other work holds the cores: the embedded model will be slow until it ends")
    return Finding("cpu", "ok", text)


def memory() -> Finding:
    available = _available_memory()
    if available is None:
        return Finding("memory", "ok", "how much is available cannot be told on this system")
    text = f"{available:.1f} GB available"
    if available < MEMORY:
        return Finding(
            "memory", "warn", text, f"the embedded model wants {MEMORY:g} GB; close other programs or use a remote decoder"
        )
    return Finding("memory", "ok", text)


def _available_memory() -> float | None:
    """Gigabytes, as Linux estimates them, and as a container's limit allows."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        group = Path("/sys/fs/cgroup")
        left = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or its limit is "max"
        left = free
    return max(0, min(free, left)) / 1e9


def cache_folder() -> Path:
    """Where plugins keep what they fetch."""
    if given := os.environ.get("K2CORE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "k2core"


def folder(name: str, path: Path, advice: str) -> Finding:
    """Whether files can be made in `path`, or in the nearest folder above that exists."""
    existing = _existing(path)
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Finding(name, "ok", f"{path} is writable" if existing == path else f"{path} can be made")
    except OSError as error:
        return Finding(name, "warn", f"{path}: {error.strerror or error}", advice)


def disk(path: Path) -> Finding:
    free = shutil.disk_usage(_existing(path)).free / 1e9
    if free < DISK:
        return Finding(
            "disk", "warn", f"{free:.1f} GB free for {path}", f"fetching the embedded model takes {DISK:g} GB; make room"
        )
    return Finding("disk", "ok", f"{free:.1f} GB free for {path}")


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def encoding(name: str | None) -> Finding:
    if (name or "").lower().replace("-", "") == "utf8":
        return Finding("encoding", "ok", f"{name}")
    return Finding("encoding", "warn", f"{name}", "some characters will be shown as escapes; set PYTHONUTF8=1 or a UTF-8 locale")


def plugins(healths: Sequence[Health]) -> Finding:
    bad = [health for health in healths if not health.ok]
    text = f"{len(healths) - len(bad)} of {len(healths)} installed plugins can be used"
    if bad:
        return Finding("plugins", "warn", text, "; ".join(f"{h.found.role} {h.found.name} ({h.found.dist}): {h.why}" for h in bad))
    return Finding("plugins", "ok", text)


def default_pipeline(healths: Sequence[Health]) -> Iterator[Finding]:
    """Whether the default pipeline can be put together, and whether its models are here."""
    from k2core import K2Error, PipelineConfig, Runtime

    config = PipelineConfig.default()
    broken = {(h.found.role, h.found.name): h.why for h in healths if not h.ok}
    for role, use in _uses(config):
        if why := broken.get((role, use)):  # not imported in this process, as it might crash it
            yield Finding("pipeline", "fail", f"{role} {use}: {why}", "mend or reinstall it, or use another pipeline with --config")
            return
    try:
        Runtime(config)
    except K2Error as error:
        yield Finding("pipeline", "fail", str(error), DEFAULT_DISTS)
        return
    yield Finding("pipeline", "ok", "every plugin of the default pipeline is here, and its options are right")
    for name, table in config.decoders.items():
        if table.use == "llamacpp":
            yield model(name, str(table.options.get("model", "")))


def _uses(config: PipelineConfig) -> Iterator[tuple[str, str]]:
    yield "sampler", config.sampler.use
    if config.planner:
        yield "planner", config.planner.use
    for role, tables in (("verifier", config.verifiers), ("decoder", config.decoders), ("hook", config.hooks)):
        yield from ((role, table.use) for table in tables.values())


def model(decoder: str, name: str) -> Finding:
    """Whether the embedded decoder's model has been fetched; asks `k2 models path`."""
    command = [sys.executable, "-P", "-m", "k2core", "models", "path", *([name] if name else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    label = f"model of {decoder}"
    if done.returncode == 0:
        return Finding(label, "ok", done.stdout.strip())
    if done.returncode == 2:
        return Finding(label, "fail", done.stderr.strip(), DEFAULT_DISTS)
    return Finding(
        label, "warn", f"{name} is not cached", f"it is fetched on first use; or now, with: k2 models get {name}".strip()
    )
