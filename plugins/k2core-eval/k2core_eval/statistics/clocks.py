"""What the clocks say. Kept apart from the summary, which is the same for every run of the same samples."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from k2core.types import Record

from ..records import Times


class Clock(Record):
    """Seconds over samples."""

    samples: int = 0
    total: float = 0.0
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    longest: float | None = None


class Clocks(Record):
    seconds: Clock = Clock()
    """From the run's start to its end, retries included."""
    first_token: Clock = Clock()
    model: Clock = Clock()
    """Summed over the decoder's calls."""
    grading: Clock = Clock()
    """From the run's end to the grader's answer."""


def clocks(times: Iterable[Times]) -> Clocks:
    """Percentiles of all samples together."""
    seconds, first, model, grading = array("d"), array("d"), array("d"), array("d")
    for line in times:
        seconds.append(line.seconds)
        model.append(line.model_seconds)
        if line.first_token is not None:
            first.append(line.first_token)
        if line.graded:
            grading.append(max(0.0, line.graded - line.seconds))
    return Clocks(seconds=_clock(seconds), first_token=_clock(first), model=_clock(model), grading=_clock(grading))


def _clock(values: array[float]) -> Clock:
    if not values:
        return Clock()
    p50, p90, p99 = (float(q) for q in np.percentile(values, [50, 90, 99]))
    total = float(np.sum(values))
    return Clock(samples=len(values), total=total, mean=total / len(values), p50=p50, p90=p90, p99=p99, longest=max(values))
