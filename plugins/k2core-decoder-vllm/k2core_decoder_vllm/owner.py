"""vLLM's processes end with the process that wanted them, also when that is killed.

vLLM's engine process does not notice the end of its parent. vLLM calls `end_with_owner`, an entry point of its group
`vllm.general_plugins`, in each of its processes; where `K2CORE_VLLM_OWNER` holds no process id, it does nothing.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "K2CORE_VLLM_OWNER"
"""Environment variable that names the process with whose end to end."""


def end_with_owner() -> None:
    """Start a thread that waits for the owner's end and then ends this process at once. Linux only."""
    owner = os.environ.get(VARIABLE, "")
    if not owner.isdigit() or int(owner) == os.getpid() or not hasattr(os, "pidfd_open"):
        return
    try:
        descriptor = os.pidfd_open(int(owner))
    except ProcessLookupError:
        os._exit(1)
    threading.Thread(target=_wait, args=(descriptor,), name="k2core-owner", daemon=True).start()


def _wait(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.poll()
    os._exit(1)


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """These environment variables, with the owner's, for the processes that are started within the block."""
    wanted = {**variables, VARIABLE: str(os.getpid())}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
