"""What a program may do where it has a folder and may start processes, and that nothing of it outlives its execution."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import psutil

Judge = Any
"""The fixtures' class, in conftest.py; pytest does not let it be imported."""

TRY = """
def attempts(**tries):
    done = []
    for name, attempt in tries.items():
        try:
            result = attempt()
        except BaseException:
            continue
        done.append(f"{name}: {result!r:.60}")
    return done
"""


def _running(marker: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if marker in " ".join(one.info["cmdline"] or [])]


def test_processes_where_allowed(roomy: Judge) -> None:
    code = "import subprocess\ndef f():\n    return subprocess.run(['/bin/echo', 'hello'], capture_output=True, text=True).stdout"
    verdict = roomy.one(code, {"tests": ["assert f() == 'hello\\n'"]})
    assert verdict.status == "correct", verdict.reason


def test_daemons_do_not_outlive_their_execution(roomy: Judge) -> None:
    marker = f"{os.getpid()}77"
    code = f"""
import os, signal, subprocess
def f():
    for _ in range(3):
        if os.fork() == 0:
            for n in range(1, 32):
                try: signal.signal(n, signal.SIG_IGN)
                except OSError: pass
            if os.fork() == 0:
                os.execv("/bin/sleep", ["sleep", "{marker}"])
            os._exit(0)
    import time; time.sleep(0.3)
    return 1
"""
    verdict = roomy.one(code, {"tests": ["assert f() == 1"]})
    assert verdict.status == "correct", verdict.reason
    assert not _running(f"sleep {marker}")
    roomy.healthy()


def test_fork_bomb_where_processes_are_allowed(roomy: Judge) -> None:
    before = roomy.pids
    code = "import os\ndef f():\n    while True:\n        try: os.fork()\n        except OSError: pass"
    verdict = roomy.one(code, {"tests": ["assert f() == 1"]})
    assert verdict.status == "incorrect"
    roomy.healthy()
    assert roomy.pids == before


def test_children_reach_nobody(roomy: Judge) -> None:
    roomy.finds_nothing(
        TRY
        + """
import os, signal
def escape():
    return attempts(**{f"kill{pid}": (lambda pid=pid: os.kill(pid, signal.SIGTERM)) for pid in range(1, 8) if pid != os.getpid()},
        up=lambda: os.kill(os.getppid(), signal.SIGKILL), session=os.setsid, group=lambda: os.setpgid(0, os.getppid()),
        room=lambda: os.unshare(0x10000000) if hasattr(os, "unshare") else 1 / 0)
"""
    )


def test_the_folder_is_private_and_limited(roomy: Judge) -> None:
    fill = """
import os
def f():
    written = 0
    try:
        for n in range(1000):
            with open(f"file{n}", "wb") as file:
                written += file.write(bytes(10**6))
    except OSError as error:
        return 3 <= written / 10**6 <= 5
"""
    assert roomy.one(fill, {"tests": ["assert f()"]}).status == "correct"
    links = "import os\nos.symlink('/', 'root')\nos.makedirs('a/b/c')\nos.chmod('a', 0)\ndef f(): return 1"
    assert roomy.one(links, {"tests": ["assert f() == 1"]}).status == "correct"
    verdict = roomy.one("import os\ndef f(): return os.listdir('.') + os.listdir('/tmp')", {"tests": ["assert f() == ['work']"]})
    assert verdict.status == "correct", verdict.reason
    assert Path(sys.prefix).exists()


def test_a_folder_too_deep_to_remove_costs_the_worker_only(roomy: Judge) -> None:
    code = "import os\ndef f():\n    for _ in range(3000):\n        os.mkdir('d')\n        os.chdir('d')\n    return 1"
    assert roomy.one(code, {"tests": ["assert f() == 1"]}).status == "correct"
    verdict = roomy.one("import os\ndef f(): return os.listdir('.')", {"tests": ["assert f() == []"]})
    assert verdict.status == "correct", verdict.reason
