"""How many threads should compute: as many as there are cores that nobody else is using.

The threads of an engine meet at a barrier several hundred times a token and spin while they wait. One that has to share its
core holds up all the others, so a thread too many costs far more than a thread too few (see the README of k2core-decoder-llamacpp).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

MOST = 8
"""Small models gain nothing from more."""
TOLERANCE = 0.35
"""A core counts as free while others use less than this share of it, so that the odd daemon costs no thread."""


@dataclass(frozen=True)
class Moment:
    """Processor times in seconds since some start: `at` on the clock, `busy` of the cores we may use, `own` of this process."""

    at: float
    busy: float
    own: float


def now(stat: Path = Path("/proc/stat")) -> Moment | None:
    """The clocks, or None where the system has no /proc/stat."""
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return None
    names = {f"cpu{cpu}" for cpu in _affinity()}
    fields = [line.split() for line in lines if line.split(" ", 1)[0] in names]
    # user nice system idle iowait irq softirq steal
    ticks = sum(sum(map(int, f[1:4])) + sum(map(int, f[6:9])) for f in fields)
    times = os.times()
    return Moment(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), times.user + times.system)


def free_cores(before: Moment, after: Moment, cores: float) -> float:
    """Cores that others, this process apart, left free between two moments."""
    passed = max(after.at - before.at, 1e-3)
    others = (after.busy - before.busy - (after.own - before.own)) / passed
    return cores - max(0.0, others)


def threads_for(free: float, cores: int, most: int = MOST) -> int:
    """Threads for so many free cores: at least one, at most all, and one less rather than one too many."""
    return max(1, min(int(free + TOLERANCE), cores, most))


def usable_cores() -> int:
    """Cores this process may use: physical ones of its affinity mask, cut by a container's quota."""
    return max(1, min(_physical(_affinity()), int(_quota() or MOST * 64)))


def logical_cores() -> int:
    """Logical cores of the affinity mask."""
    return len(_affinity())


def measure(seconds: float = 0.15) -> int:
    """Threads to use, after watching the machine for so long. Where there is no /proc, the load average has to do."""
    cores, before = usable_cores(), now()
    if before is None:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return threads_for(cores - load, cores)
    time.sleep(seconds)
    after = now()
    return threads_for(free_cores(before, after, logical_cores()) if after else 1, cores)


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _physical(cpus: set[int], root: Path = Path("/sys/devices/system/cpu")) -> int:
    """How many physical cores lie behind logical ones."""
    siblings = set()
    for cpu in cpus:
        try:
            siblings.add((root / f"cpu{cpu}/topology/thread_siblings_list").read_text())
        except OSError:
            siblings.add(str(cpu))
    return len(siblings)


def _quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The control group's limit in cores (cgroup v2, or v1 at the root), or None."""
    limits = []
    try:
        groups = [line.split(":", 2)[2] for line in membership.read_text().splitlines() if line.startswith("0::")]
    except OSError:
        groups = []
    for group in groups or ["/"]:
        inner = root / group.lstrip("/")
        for folder in [inner, *inner.parents]:
            limits += _read_quota(folder / "cpu.max")
            if folder == root:
                break
    limits += _read_quota(root / "cpu/cpu.cfs_quota_us", root / "cpu/cpu.cfs_period_us")
    return min(limits, default=None)


def _read_quota(*files: Path) -> list[float]:
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return [int(quota) / int(period)] if int(quota) > 0 else []
    except (OSError, ValueError):
        return []
