"""A child and all that it starts: followed, and gone at the end, however that comes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from k2core_trainer_verl.marked import MARK, alive
from k2core_trainer_verl.process import Child, reason, run

FAMILY = """
import subprocess, sys, time
detached = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("child of", detached.pid, flush=True)
{then}
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def child(tmp_path: Path, code: str, drain: float = 5.0) -> Child:
    return Child([sys.executable, "-c", code], tmp_path / "log.txt", dict(os.environ), tmp_path, drain)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def detached(log: Path, told: str = "child of") -> int:
    """The process id that a child has told."""
    while not log.exists() or not (found := re.search(rf"{told} (\d+)\n", log.read_text())):
        time.sleep(0.02)
    return int(found[1])


def test_status_and_log(tmp_path: Path) -> None:
    assert asyncio.run(run(child(tmp_path, "import sys; print('told'); sys.exit(3)"))) == 3
    assert (tmp_path / "log.txt").read_text() == "told\n"


def test_it_is_watched_to_the_end(tmp_path: Path) -> None:
    seen: list[str] = []
    code = "open('a', 'w').write('1'); import time; time.sleep(0.3); open('a', 'w').write('2')"
    made = child(tmp_path, code)
    asyncio.run(run(made, lambda: seen.append((tmp_path / "a").read_text() if (tmp_path / "a").exists() else ""), 0.05))
    assert seen[-1] == "2"


@pytest.mark.skipif(sys.platform != "linux", reason="processes in sessions of their own are found on Linux only")
@pytest.mark.parametrize("stubborn", [False, True])
def test_cancelled_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: bool) -> None:
    monkeypatch.setattr("k2core_trainer_verl.process._GRACE", 0.2)
    made = child(tmp_path, (STUBBORN if stubborn else "") + FAMILY.format(then="time.sleep(60)"), 0.3 if stubborn else 5.0)

    async def main() -> int:
        task = asyncio.create_task(run(made))
        pid = await asyncio.to_thread(detached, made.log)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    assert gone(asyncio.run(main()))


@pytest.mark.skipif(sys.platform != "linux", reason="processes in sessions of their own are found on Linux only")
def test_what_a_child_that_has_ended_leaves_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2core_trainer_verl.process._GRACE", 0.2)
    made = child(tmp_path, FAMILY.format(then="sys.exit(0)"))
    assert asyncio.run(run(made)) == 0
    assert gone(detached(made.log))


def test_a_process_that_is_just_becoming_another_program_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two programs the kernel shows an empty environment: met on a busy machine, where such a process was left."""

    def process(pid: int, program: str) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "environ").touch()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (x) S 1")
        if program:
            (tmp_path / str(pid) / "exe").symlink_to(program)

    process(11, "/bin/becoming")
    process(12, "")  # one of the kernel
    later = threading.Timer(0.1, lambda: (tmp_path / "11" / "environ").write_bytes(f"A=1\0{MARK}=abcd\0".encode()))
    later.start()
    monkeypatch.setattr("k2core_trainer_verl.marked._EXEC", 60)
    assert alive("abcd", tmp_path) == [11]
    later.join()
    process(13, "/bin/without-environment")
    monkeypatch.setattr("k2core_trainer_verl.marked._EXEC", 0.1)
    assert alive("abcd", tmp_path) == [11]


TRAINER = """
import asyncio, os, sys
from pathlib import Path
from k2core_trainer_verl.process import Child, run
folder, command = Path(sys.argv[1]), [sys.executable, "-c", sys.argv[2]]
asyncio.run(run(Child(command, folder / "log.txt", dict(os.environ), folder, scratch=str(folder / "scratch"))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes in sessions of their own are found on Linux only")
def test_of_a_killed_trainer_nothing_stays(tmp_path: Path) -> None:
    """Not the child, nor what it has started in a session of its own, though that would outlive it; nor the scratch folder."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "socket").touch()
    code = FAMILY.format(then="import os; print('self', os.getpid(), flush=True); time.sleep(60)")
    trainer = subprocess.Popen([sys.executable, "-c", TRAINER, str(tmp_path), code])
    pids = [detached(tmp_path / "log.txt"), detached(tmp_path / "log.txt", "self")]
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    until = time.monotonic() + 10
    while not (all(map(gone, pids)) and not (tmp_path / "scratch").exists()) and time.monotonic() < until:
        time.sleep(0.02)
    assert [gone(pid) for pid in pids] == [True, True]
    assert not (tmp_path / "scratch").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes in sessions of their own are found on Linux only")
def test_cancelled_twice_nothing_stays(tmp_path: Path) -> None:
    """Whoever cannot wait for a child that drains slowly: it is killed."""
    made = child(tmp_path, STUBBORN + FAMILY.format(then="time.sleep(60)"), 30.0)

    async def main() -> int:
        task = asyncio.create_task(run(made))
        pid = await asyncio.to_thread(detached, made.log)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    began = time.monotonic()
    assert gone(asyncio.run(main()))
    assert time.monotonic() - began < 25


def test_a_watcher_that_fails_ends_the_child(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(run(child(tmp_path, "import time; time.sleep(60)"), fail, 0.05))


def test_marks_are_exact() -> None:
    slow = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = subprocess.Popen(slow, env={**os.environ, MARK: "abcd"})
    try:
        until = time.monotonic() + 10
        while not alive("abcd") and time.monotonic() < until:  # the environment is there once the program is
            time.sleep(0.01)
        assert alive("abcd") == ([process.pid] if sys.platform == "linux" else [])
        assert alive("abc") == []
    finally:
        process.kill()
        process.wait()
    assert alive("abcd") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("step 1\nTraceback\n  File x\nValueError: bad batch\nshutting down\n", "ValueError: bad batch"),
        (
            "\x1b[36m(TaskRunnerV1 pid=12)\x1b[0m ray.exceptions.RayTaskError(OSError): no\nend\n",
            "ray.exceptions.RayTaskError(OSError): no",
        ),
        ("(Worker pid=3, ip=10.0.0.2) torch.OutOfMemoryError: CUDA\n", "torch.OutOfMemoryError: CUDA"),
        ("OSError: no\ntorch.distributed.elastic.multiprocessing.errors.ChildFailedError: \nx FAILED\n", "OSError: no"),
        ("only words\n", "only words"),
        ("", "it wrote nothing"),
    ],
)
def test_why_it_failed(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "log").write_text(text)
    assert reason(tmp_path / "log") == why
    assert "cannot be read" in reason(tmp_path / "none")
