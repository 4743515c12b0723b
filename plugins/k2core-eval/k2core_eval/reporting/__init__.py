"""Reports of evaluations: one HTML page, Markdown and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import write_reports

__all__ = ["write_reports"]


def __getattr__(name: str) -> Any:
    """`write_reports` on first use: the page of `k2 serve` uses the renderer of formulas alone, without all that reports need."""
    if name == "write_reports":
        from .report import write_reports

        return write_reports
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
