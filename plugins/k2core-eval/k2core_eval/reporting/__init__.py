"""Reports of evaluations: one HTML page, Markdown and JSON."""

from .report import write_reports

__all__ = ["write_reports"]
