"""Structured logs through the standard library's logger `k2core`: silent until the program that embeds us configures it."""

from __future__ import annotations

import logging
from typing import Any

logging.getLogger("k2core").addHandler(logging.NullHandler())


def get_logger(**context: Any) -> Any:
    """A structlog logger bound to `context`; structlog is imported on the first use, as it costs more than all else here."""
    import structlog

    processors: list[Any] = [
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ]
    logger = logging.getLogger("k2core")
    return structlog.wrap_logger(logger, processors=processors, wrapper_class=structlog.stdlib.BoundLogger, **context)
