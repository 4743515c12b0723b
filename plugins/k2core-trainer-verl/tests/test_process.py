"""A child and all that it starts: followed, and gone at the end, however that comes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from k2core_trainer_verl.process import MARK, Child, alive, reason, run

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


def detached(log: Path) -> int:
    while not log.exists() or "child of" not in log.read_text():
        time.sleep(0.02)
    return int(log.read_text().split("child of")[1].split()[0])


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
    monkeypatch.setattr("k2core_trainer_verl.process._EXEC", 60)
    assert alive("abcd", tmp_path) == [11]
    later.join()
    process(13, "/bin/without-environment")
    monkeypatch.setattr("k2core_trainer_verl.process._EXEC", 0.1)
    assert alive("abcd", tmp_path) == [11]


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_a_killed_trainer_takes_its_child_along(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, sys\nfrom pathlib import Path\nfrom k2core_trainer_verl.process import Child, run\n"
        "slow = [sys.executable, '-c', 'import os, time; print(\"child of\", os.getpid(), flush=True); time.sleep(60)']\n"
        f"asyncio.run(run(Child(slow, Path({str(tmp_path / 'log.txt')!r}), dict(os.environ), Path({str(tmp_path)!r}))))"
    )
    trainer = subprocess.Popen([sys.executable, "-c", code])
    pid = detached(tmp_path / "log.txt")
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    until = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert gone(pid)


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
