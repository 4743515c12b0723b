"""The named benchmarks, a class each for the entry points; what they have in common is in `plugin.BenchmarkTasks`."""

from __future__ import annotations

from . import mathematics, programs, science
from .entry import Entry
from .plugin import BenchmarkTasks, plugin_for
from .scicode import ENTRY, Scicode

ENTRIES: dict[str, Entry] = {entry.card.name: entry for entry in (*mathematics.ENTRIES, *science.ENTRIES, *programs.ENTRIES, ENTRY)}
"""By name."""
_MADE = (plugin_for(entry, __name__) for entry in ENTRIES.values() if entry is not ENTRY)
CLASSES: dict[str, type[BenchmarkTasks]] = {cls.__name__: cls for cls in (*_MADE, Scicode)}
"""By the class name that the entry points give: `gsm8k` is `Gsm8k`, `math-500` is `Math500`."""
globals().update(CLASSES)
