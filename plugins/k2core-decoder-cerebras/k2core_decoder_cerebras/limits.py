"""The service's rate limits as its answers tell them, and waiting for their reset.

Headers: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}-{minute,hour,day}`, resets in seconds.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

_KINDS = tuple(f"{what}-{per}" for what in ("requests", "tokens") for per in ("minute", "hour", "day"))
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Limits:
    """What is left, by kind of limit, as of the last answer that said so."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._empty: dict[str, float] = {}
        """Limits of which nothing is left: kind to the time of the reset."""

    def told(self, headers: Mapping[str, str]) -> None:
        """Take the headers of an answer, whatever its status."""
        for kind in _KINDS:
            remaining = seconds(headers.get(f"x-ratelimit-remaining-{kind}"))
            if remaining is None:
                continue
            reset = seconds(headers.get(f"x-ratelimit-reset-{kind}"))
            if remaining <= 0 and reset:
                self._empty[kind] = self._now() + reset
            else:
                self._empty.pop(kind, None)

    def blocked(self) -> tuple[str, float]:
        """The limit that takes longest to reset, and its seconds; no name and 0 when nothing is known to be used up."""
        now = self._now()
        self._empty = {kind: until for kind, until in self._empty.items() if until > now}
        return max(((kind, until - now) for kind, until in self._empty.items()), key=lambda item: item[1], default=("", 0.0))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the service asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110, 10.2.3)."""
    wish = seconds(headers.get("retry-after-ms"))
    if wish is not None:
        return wish / 1000
    wish = seconds(headers.get("retry-after"))
    if wish is not None:
        return wish
    until = _date(headers.get("retry-after"))
    if until is None:
        return None
    now = _date(headers.get("date"))  # the server's clock, if it says: ours may differ
    return max(0.0, until - (time.time() if now is None else now))


def seconds(value: str | None) -> float | None:
    """A finite number >= 0, plain or with units, such as `11.38`, `250ms` or `1m30s`; None for anything else."""
    text = (value or "").strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
