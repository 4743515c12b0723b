"""Decode on Cerebras' inference service."""

from .config import CerebrasConfig
from .decoder import CerebrasDecoder
from .failure import ContextLengthExceeded

__all__ = ["CerebrasConfig", "CerebrasDecoder", "ContextLengthExceeded"]
