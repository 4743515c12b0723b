"""For command lines: where the logs go. The library itself is silent until the program that embeds it says so."""

from __future__ import annotations

import logging


def configure(level: str) -> None:
    """Send logs to stderr from `level` up."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger("k2core").addHandler(handler)
    logging.getLogger("k2core").setLevel(level.upper())
