"""The comparison process: jobs in, opinions out.

It never decides when to stop by itself: the pool kills it. Should the pool's process die first, the end of the input, the death
signal (Linux) and the limit on processor time each end this one.
"""

from __future__ import annotations

import logging
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

from k2core.toolkit.child import Channel, die_with_parent, fork_workers, limit, limit_processor_time, serve

_GRACE = 5
"""Seconds of processor time over the time-out after which the kernel ends a process that nobody killed."""

_WARM = (("x+1", "1+x"), (r"\frac{1}{2}", r"\sqrt{2}"), ("(1,2)", "[1,2]"), (r"\{1,2\}", "x=3"))
"""Compared before the first fork, so that parsers are set up once."""


def main() -> None:
    """Prepare, and fork workers on demand. Arguments: memory limit of a worker in MB, process id of the pool."""
    memory_mb, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    channel = Channel()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        from .compare import compare

        for gold, answer in _WARM:
            compare(gold, answer)
    except Exception as error:
        channel.send({"error": f"{type(error).__name__}: {error}"})
        return
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    fork_workers(channel, lambda own: _work(own, compare, memory_mb))


def _work(channel: Channel, compare: Callable[..., tuple[str, str]], memory_mb: int) -> None:
    limit(resource.RLIMIT_AS, memory_mb * 1024 * 1024)
    serve(channel, lambda job: _answer(job, compare, memory_mb))


def _answer(job: dict[str, Any], compare: Callable[..., tuple[str, str]], memory_mb: int) -> dict[str, Any]:
    """An opinion. With `turn`, so many seconds of processor time end the process: SIGPROF has no handler."""
    signal.setitimer(signal.ITIMER_PROF, job.get("turn", 0))
    limit_processor_time(job.get("seconds", job.get("turn", 0)) + _GRACE)
    try:
        return _opinion(job, compare, memory_mb)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _opinion(job: dict[str, Any], compare: Callable[..., tuple[str, str]], memory_mb: int) -> dict[str, Any]:
    try:
        outcome, reason = compare(job["gold"], job["answer"], symmetric=job["symmetric"])
    except MemoryError:
        return {"outcome": "undecided", "reason": f"comparing needs more than {memory_mb} MB", "last": True}
    except RecursionError:
        outcome, reason = "undecided", "nested too deep to compare"
    except Exception as error:
        outcome, reason = "undecided", f"comparing failed: {type(error).__name__}: {error}"[:300]
    return {"outcome": outcome, "reason": reason}
