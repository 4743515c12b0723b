"""What a store keeps, and how hard it tries."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class StoreOptions(BaseModel):
    """Retention and durability. What is spent is summed by hour apart from the traces, and stays when they go."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    keep_count: Annotated[int, Field(ge=1)] | None = 100_000
    """Most requests; the oldest go first. None: any number."""
    keep_days: Annotated[float, Field(gt=0)] | None = None
    """Requests that began longer ago go. None: they stay."""
    keep_bytes: Annotated[int, Field(ge=1_000_000)] | None = 4_000_000_000
    """Most bytes of the file in use; the oldest requests go first. None: any number."""
    largest_trace: Annotated[int, Field(ge=10_000)] = 32_000_000
    """Bytes of one trace as JSON lines; of a request with a larger one everything else is kept."""
    synchronous: Literal["normal", "full"] = "normal"
    """`normal`: a commit is in the hands of the operating system, so it survives the death of the process by any signal; after a
    power cut the file is whole, but the last moments may be missing. `full`: each commit also waits for the disk."""
    pending: Annotated[int, Field(ge=1)] = 20_000
    """Finished requests that may wait to be written; more are not kept, and counted as lost."""
