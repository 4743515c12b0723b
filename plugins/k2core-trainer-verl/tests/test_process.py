"""A child and all that it starts: followed, and gone at the end, however that comes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from k2core_trainer_verl.process import Child, reason, run

FAMILY = """
import subprocess, sys, time
slow = [sys.executable, "-c", "import time; time.sleep(60)"]
code = f"import subprocess; print(subprocess.Popen({{slow}}, env={{{{}}}}, stdout=subprocess.DEVNULL).pid)"
between = subprocess.run([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE, text=True)
print("child of", int(between.stdout), flush=True)
{then}
"""
"""What it leaves is in a session of its own, without its environment, and its parent has ended. Ray's agents are such when its
daemon has been killed: of the environment that they were given only a part can be seen."""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def child(tmp_path: Path, code: str, drain: float = 5.0) -> Child:
    return Child([sys.executable, "-c", code], tmp_path / "log.txt", dict(os.environ), tmp_path, drain, grace=0.2)


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


def wait_for(true: Callable[[], bool], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


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
def test_cancelled_nothing_stays(tmp_path: Path, stubborn: bool) -> None:
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
def test_what_a_child_that_has_ended_leaves_is_ended(tmp_path: Path) -> None:
    made = child(tmp_path, FAMILY.format(then="sys.exit(0)"))
    assert asyncio.run(run(made)) == 0
    assert gone(detached(made.log))


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
    assert wait_for(lambda: all(map(gone, pids)) and not (tmp_path / "scratch").exists())


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


def test_a_keeper_that_is_killed(tmp_path: Path) -> None:
    """Its child goes with it, and the trainer is told."""
    made = child(
        tmp_path,
        "import os, time; print('parent', os.getppid(), flush=True); print('self', os.getpid(), flush=True); time.sleep(60)",
    )

    async def main() -> int:
        task = asyncio.create_task(run(made))
        os.kill(await asyncio.to_thread(detached, made.log, "parent"), signal.SIGKILL)
        return await task

    assert asyncio.run(main()) == -signal.SIGKILL
    assert sys.platform != "linux" or wait_for(lambda: gone(detached(made.log, "self")))


def test_a_signal_is_its_status(tmp_path: Path) -> None:
    assert asyncio.run(run(child(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGABRT)"))) == -signal.SIGABRT


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    made = Child([str(tmp_path / "none")], tmp_path / "log.txt", dict(os.environ), tmp_path)
    assert asyncio.run(run(made)) == 127
    assert reason(made.log) == f"OSError: cannot start {tmp_path / 'none'}: No such file or directory"


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
        (
            "[rank0]: Traceback\n[rank0]:     for batch in none:\n[rank0]: TypeError: no batch\n"
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n=====\nmodule FAILED\n=====\n",
            "TypeError: no batch",
        ),
        ("\x1b[36m(Worker pid=12)\x1b[0m [rank1]: ValueError: bad\nend\n", "ValueError: bad"),
        ("only words\n", "only words"),
        ("", "it wrote nothing"),
    ],
)
def test_why_it_failed(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "log").write_text(text)
    assert reason(tmp_path / "log") == why
    assert "cannot be read" in reason(tmp_path / "none")
