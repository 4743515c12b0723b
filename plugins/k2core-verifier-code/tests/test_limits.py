"""Programs without measure: time, memory, threads, output. Each is stopped, and what runs beside it is not disturbed."""

from __future__ import annotations

from typing import Any

Judge = Any
"""The fixtures' class, in conftest.py; pytest does not let it be imported."""


def test_thread_bomb(judge: Judge) -> None:
    code = """
import threading, time
def escape():
    started = 0
    try:
        for started in range(100_000):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except (RuntimeError, MemoryError):
        pass
    return started < 200
"""
    assert judge.one(code, {"tests": ["assert escape()"]}).status == "correct"
    judge.healthy()


LATE = {
    "busy": "def f():\n    while True: pass",
    "sleep": "import time\ndef f():\n    time.sleep(100)",
    "signals": "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\n"
    "def f():\n    while True: pass",
    "limits": "import resource, signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\ndef f():\n    while True: pass",
    "catches": "def f():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    "threads": "import threading\ndef spin():\n    while True: pass\n"
    "def f():\n    for _ in range(3): threading.Thread(target=spin).start()\n    spin()",
    "loading": "while True: pass\ndef f(): pass",
    "regex": "import re\ndef f():\n    re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "power": "def f():\n    return len(str(9 ** 9 ** 9))",
    "end": "import atexit, threading\ndef f():\n    threading.Event().wait()",
    "comparison": "class L:\n    def __len__(self):\n        while True: pass\ndef f(): return L()",
}


def test_time_outs(crowd: Judge) -> None:
    """All side by side; what is right among them is not disturbed."""
    right = "def f():\n    return 'abc'"
    verdicts = crowd.many([*LATE.values(), right], {"tests": ["assert len(f()) == 3"]})
    before = crowd.pids
    for name, verdict in zip(LATE, verdicts[:-1], strict=True):
        assert verdict.status == "incorrect", name
        assert "of processor time" in verdict.reason or "took more than" in verdict.reason, (name, verdict.reason)
    assert verdicts[-1].status == "correct"
    crowd.healthy()
    assert crowd.pids == before


MEMORY = {
    "list": "def f():\n    x = []\n    while True: x.append(bytes(10**7))",
    "bytes": "def f(): return bytes(10**12)",
    "string": "def f():\n    x = 'a'\n    while True: x += x",
    "returned": "def f(): return 'x' * (20 << 20)",
    "loading": "x = [0] * 10**10\ndef f(): pass",
    "mmap": "import mmap\ndef f():\n    return mmap.mmap(-1, 10**11)",
}


def test_memory(judge: Judge) -> None:
    words = ("MemoryError", "memory", "takes more than", "Cannot allocate")
    for name, verdict in zip(MEMORY, judge.many(list(MEMORY.values()), {"tests": ["assert f() == 3"]}), strict=True):
        assert verdict.status == "incorrect", name
        assert any(word in verdict.reason for word in words), (name, verdict.reason)
    judge.healthy()


OUTPUT = {
    "print": "while True: print('x' * 1000)",
    "write": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "errors": "import sys\nwhile True: sys.stderr.write('x' * 1000)",
    "silent": "import time\ntime.sleep(50)",
    "no reading": "import time\nwhile True: time.sleep(1)",
}


def test_output(crowd: Judge) -> None:
    verdicts = crowd.many(list(OUTPUT.values()), {"inputs": ["1\n" * 200_000], "outputs": ["1"]})
    assert [verdict.status for verdict in verdicts] == ["incorrect"] * len(OUTPUT)
    assert all("prints more than 100 kB" in verdict.reason for verdict in verdicts[:2])
    assert all("took more than" in verdict.reason or "of processor time" in verdict.reason for verdict in verdicts[2:])
    crowd.healthy()


def test_output_of_functions_goes_nowhere(judge: Judge) -> None:
    code = "import sys\ndef f(x):\n    print('x' * 10**6)\n    sys.stderr.write('y' * 10**6)\n    return x"
    assert judge.one(code, {"tests": ["assert f(1) == 1"]}).status == "correct"


def test_values_that_take_for_ever_to_compare(open_judge: Any) -> None:
    """Small on the wire, where what is shared is sent once; for a hash it is 2**60 tuples."""
    judge = open_judge(workers=1, total=1.5)
    code = "def f():\n    t = (1,)\n    for _ in range(60):\n        t = (t, t)\n    return t"
    verdict = judge.one(code, {"tests": ["assert f() in {3: 4}"]})
    assert verdict.status == "incorrect"
    assert "came to no end within 1.5 s" in verdict.reason
    judge.healthy()
