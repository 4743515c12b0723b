"""Whether installed plugins can be loaded; found out in a child process, as an import may crash, hang or take its time."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from k2core import Found, Registry

TIMEOUT = 10.0
"""Seconds that one plugin may take to be imported."""


@dataclass(frozen=True)
class Health:
    """An installed plugin, and why it cannot be used."""

    found: Found
    why: str = ""
    """Empty when it can."""

    @property
    def ok(self) -> bool:
        return not self.why


def check_all(found: Sequence[Found] | None = None, timeout: float = TIMEOUT) -> list[Health]:
    """The health of plugins, by default of all that are installed, in their order."""
    everything = Registry().find_all() if found is None else list(found)
    to_load = [f for f in everything if not f.why]
    reasons: dict[Found, str] = {}
    while len(reasons) < len(to_load):
        rest = to_load[len(reasons) :]
        reasons |= zip(rest, _probe(rest, timeout), strict=False)
    return [Health(f, f.why or reasons[f]) for f in everything]


def _probe(found: Sequence[Found], timeout: float) -> list[str]:
    """Reasons for the first of `found`, up to and with the first that kills or stalls the child."""
    command = [sys.executable, "-P", "-m", "k2core_cli.probe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_forward, args=(child.stdout, lines))
        reader.start()
        try:
            with child.stdin as stdin:
                json.dump([[f.role, f.name] for f in found], stdin)
            return _reasons(child, lines, len(found), timeout)
        finally:
            child.kill()
            reader.join()


def _forward(stream: IO[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def _reasons(child: subprocess.Popen[str], lines: queue.Queue[str], count: int, timeout: float) -> list[str]:
    reasons: list[str] = []
    while len(reasons) < count:
        try:
            line = lines.get(timeout=timeout)
        except queue.Empty:
            return [*reasons, f"importing it takes longer than {timeout:g} s"]
        if not line:
            return [*reasons, f"importing it ends the process ({_ending(child.wait())})"]
        reasons.append(json.loads(line))
    return reasons


def _ending(status: int) -> str:
    try:
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"
    except ValueError:
        return f"signal {-status}"
