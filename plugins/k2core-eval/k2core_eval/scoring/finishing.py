"""What is written once the samples are there: order, summary."""

from __future__ import annotations

import os

from ..store.folder import SUMMARY
from ..store.writer import Store


def finish(store: Store) -> str:
    """Put a complete evaluation's files in order, write `summary.json`, and return the figures for people."""
    from ..statistics.clocks import clocks
    from ..statistics.summary import summarise
    from ..statistics.text import render_text

    store.sync()
    if not store.folder.path.is_dir():
        raise FileNotFoundError(f"{store.folder.path} has been removed")
    if store.complete:
        store.arrange()
    folder = store.folder
    summary = summarise(folder.manifest(), folder.samples(), problems=folder.problems())
    file = folder.file(SUMMARY)
    new = file.with_name(SUMMARY + ".new")
    new.write_text(summary.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(new, file)
    return render_text(summary, clocks(folder.times()))
