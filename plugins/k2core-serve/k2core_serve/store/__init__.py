"""What was asked and what came of it, kept in one SQLite file: traces, spend, search."""

from .options import StoreOptions
from .reading import Found, Page, StoredTrace, TraceReader
from .states import State
from .store import TraceStore, open_store

__all__ = ["Found", "Page", "State", "StoreOptions", "StoredTrace", "TraceReader", "TraceStore", "open_store"]
