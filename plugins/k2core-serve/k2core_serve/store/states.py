"""How a request stands."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..records import RequestRecord

State: TypeAlias = Literal["running", "answered", "stopped", "failed", "interrupted"]
"""`stopped`: whoever asked went away or stopped it; `interrupted`: the server died before it was done."""


def state_of(record: RequestRecord) -> State:
    """Of a request that is over."""
    if record.result:
        return "answered"
    return "stopped" if record.error.startswith("CancelledError") else "failed"
