"""Hooks around every role: `trace`, `budget`, `progress`; the reader of traces; and what command lines need to tell of a run."""

from .board import Speeds, spent_text
from .reader import RecordedCall, RecordedRun, TraceError, read_runs, read_trace
from .terminal import one_line, printable

__all__ = ["RecordedCall", "RecordedRun", "Speeds", "TraceError", "one_line", "printable", "read_runs", "read_trace", "spent_text"]
