"""Data sets from the hub, at a pinned commit. The only module that needs `datasets`, and the network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import Source

from .rows import Row

PAGE = "https://huggingface.co/datasets/"
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def rows(source: Source, table: str, split: str, files: Sequence[str] = (), drop: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a split in the data set's order, read from its cached copy on this machine; fetched first if need be.

    `files` are read instead of what the data set's own configuration names. `table` is the place in the configuration, for
    messages. Raises `ConfigError`: without a revision, without `datasets`, without access.
    """
    checked(source, table)
    found = _load(source, table, split, files)
    found = found.remove_columns([name for name in drop if name in found.column_names])
    where = f"{source.hub}@{source.revision[:8]}, {split} row"
    return (Row(data, f"{where} {place}", place) for place, data in enumerate(found))


def checked(source: Source, table: str) -> None:
    """Raises `ConfigError` when the data set is not pinned to a commit, or there is none."""
    if not source.hub:
        raise ConfigError("is on no hub: name a local file by the option path", f"{table}.path")
    if Path(source.hub).is_dir():
        return  # a copy on disk has no revisions
    if not _COMMIT.match(source.revision):
        got = f"{source.revision!r} is no full commit (40 hex digits)" if source.revision else "no revision is pinned for it here"
        raise ConfigError(
            f"{source.hub}: {got}; what an evaluation read must be known afterwards. Give `revision` under [{table}] or by "
            f"--set {table}.revision=…; {PAGE}{source.hub}/commits/main lists the commits",
            f"{table}.revision",
        )


def _load(source: Source, table: str, split: str, files: Sequence[str]) -> Any:
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        needs = "reading it needs: pip install 'k2core-eval[hub]'; or name a local copy by `path`"
        raise ConfigError(f"{source.hub} is on the hub, and {needs}", table) from error
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(**arguments(source, split, files))
    except Exception as error:  # the library raises errors of several other libraries
        raise ConfigError(_trouble(source, error), table) from error


def arguments(source: Source, split: str, files: Sequence[str] = ()) -> dict[str, Any]:
    """What `datasets.load_dataset` is called with. A token comes from HF_TOKEN or the hub's own login, by the library itself."""
    local = Path(source.hub).is_dir()
    if files:
        root = source.hub if local else f"hf://datasets/{source.hub}@{source.revision}"
        return {"path": "json", "data_files": [f"{root}/{name}" for name in files], "split": "train"}
    pin = {} if local else {"revision": source.revision}
    return {"path": source.hub, "name": source.subset or None, "split": split, **pin}


def _trouble(source: Source, error: Exception) -> str:
    said = f"{source.hub} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if source.gated:
        return (
            f"{said}. The set is gated: accept its terms at {PAGE}{source.hub}, then log in with `hf auth login` "
            "or set HF_TOKEN to a token of that account; or name a local copy by `path`"
        )
    return f"{said}; or name a local copy by `path`"
