"""How many threads: what the clocks say, and what containers allow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from k2core.toolkit import cores
from k2core.toolkit.cores import Moment


@pytest.mark.parametrize(
    ("others", "own", "threads"),
    [(0.0, 0.0, 4), (0.0, 8.0, 4), (0.3, 0.0, 4), (0.5, 0.0, 3), (1.0, 4.0, 3), (3.9, 0.1, 1), (9.0, 0.0, 1)],
)
def test_cores_that_others_use_are_left_to_them(others: float, own: float, threads: int) -> None:
    """Four cores, watched for two seconds; `others` and `own` are cores in use."""
    free = cores.free_cores(Moment(10, 100, 50), Moment(12, 100 + 2 * (others + own), 50 + 2 * own), 4)
    assert cores.threads_for(free, 4) == threads


def test_never_none_and_never_too_many() -> None:
    assert cores.threads_for(-3, 2) == 1
    assert cores.threads_for(64, 64) == cores.MOST


def test_reads_the_cores_we_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 10})
    stat = tmp_path / "stat"
    rows = ("cpu  9 9 9 9 9 9 9 9", "cpu0 9 9 9 9 9 9 9 9", "cpu1 100 10 20 999 5 1 2 3", "cpu10 1 0 0 9 9 0 0 0", "intr 1")
    stat.write_text("\n".join(rows))
    moment = cores.now(stat)
    assert moment is not None
    assert moment.busy * os.sysconf("SC_CLK_TCK") == pytest.approx(137)
    assert cores.now(tmp_path / "none") is None


def test_hyperthreads_count_once(tmp_path: Path) -> None:
    for cpu in range(4):
        folder = tmp_path / f"cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    assert cores._physical({0, 1, 2, 3}, tmp_path) == 2
    assert cores._physical({0, 1}, tmp_path / "none") == 2


def test_quota_of_a_container(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    (root / "a/b").mkdir(parents=True)
    membership.write_text("0::/a/b\n")
    assert cores._quota(root, membership) is None
    (root / "a/b/cpu.max").write_text("max 100000\n")
    assert cores._quota(root, membership) is None
    (root / "a/cpu.max").write_text("150000 100000\n")
    assert cores._quota(root, membership) == 1.5
    (root / "cpu").mkdir()
    (root / "cpu/cpu.cfs_quota_us").write_text("100000\n")
    (root / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cores._quota(root, tmp_path / "none") == 1.0
    (root / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    assert cores._quota(root, tmp_path / "none") is None


def test_measured_here() -> None:
    assert 1 <= cores.measure(0.05) <= cores.usable_cores() <= (os.cpu_count() or 1)


def test_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "now", lambda: None)
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 0.0, 0.0))
    assert cores.measure() == 5
