"""Each plugin is examined in a process of its own, which may crash, hang or be killed without taking the others along."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from k2core import Found

from .findings import Finding, PluginReport
from .settings import CheckSettings

TIMEOUT = 180.0
"""Seconds that all checks of one plugin may take."""
Progress = Callable[[str], None]
_POLL = 0.2
"""Seconds between looks at the clock."""
_SAID = 400
"""Characters of what a crashed plugin said last."""


@dataclass
class _Told:
    """What the child has told until now."""

    findings: list[Finding] = field(default_factory=list)
    current: str = "loads"
    seconds: float | None = None

    def take(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            self.current = line["begin"]
        elif "end" in line:
            self.seconds = line["end"]
        else:
            self.findings.append(Finding(line["check"], line["outcome"], line["message"]))


def examined(
    found: Found, path: str, settings: CheckSettings, timeout: float = TIMEOUT, progress: Progress = lambda text: None
) -> PluginReport:
    """Put one plugin through the kit; `path` goes in front of `sys.path`. However it ends, there is a report."""
    began, told = time.monotonic(), _Told()
    with tempfile.TemporaryDirectory(prefix="k2-check-") as folder, tempfile.TemporaryFile() as said:
        child = _start(folder, path, said)
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_forward, args=(child.stdout, lines), daemon=True)
        reader.start()
        try:
            _give(child, found, settings)
            trouble = _follow(child, lines, told, began + timeout, lambda: progress(f"{found.role} {found.name}: {told.current}"))
        finally:
            _end(child)
            reader.join(5)
        if told.seconds is None:
            said.seek(0)
            told.findings.append(Finding(told.current, "failed", trouble or _crash(child.returncode, said.read())))
    return PluginReport(found.role, found.name, found.value, told.findings, told.seconds or time.monotonic() - began)


def _start(folder: str, path: str, said: IO[bytes]) -> subprocess.Popen[str]:
    """In a session of its own and an empty folder, so that what it starts can be ended and what it writes is gone."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(part) for part in [path, *known] if part)}
    command = [sys.executable, "-P", "-m", "k2core_new.examine"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True, cwd=folder, env=env, start_new_session=True)


def _give(child: subprocess.Popen[str], found: Found, settings: CheckSettings) -> None:
    task = {"role": found.role, "name": found.name, "settings": settings.model_dump(mode="json")}
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError), child.stdin as stdin:  # one that ends at once is told by its status
        json.dump(task, stdin)


def _forward(stream: IO[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def _follow(child: subprocess.Popen[str], lines: queue.Queue[str], told: _Told, until: float, show: Callable[[], None]) -> str:
    """Take in what the child tells until it ends; what kept it from ending, or nothing.

    Its end is looked for, too: a process that it has forked may hold the pipe open.
    """
    while told.seconds is None:
        if time.monotonic() > until:
            return "it took too long and was stopped; `--timeout` gives it more, if it only needs time"
        ended = child.poll() is not None
        try:
            line = lines.get(timeout=_POLL)
        except queue.Empty:
            if ended:
                return ""
            continue
        if not line:
            return ""
        told.take(json.loads(line))
        show()
    return ""


def _end(child: subprocess.Popen[str]) -> None:
    """The child and all that it has left running."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(0.5)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        with contextlib.suppress(OSError):
            child.stdout.close()


def _crash(status: int | None, said: bytes) -> str:
    try:
        how = signal.Signals(-(status or 0)).name if (status or 0) < 0 else f"exit status {status}"
    except ValueError:
        how = f"status {status}"
    last = said.decode("utf-8", "replace").strip()[-_SAID:]
    return f"it ended the process ({how})" + (f"; last it said: {last}" if last else "")
