"""Decode with any OpenAI-compatible chat endpoint."""

from .config import OpenAIConfig
from .decoder import OpenAIDecoder
from .failure import ContextLengthExceeded

__all__ = ["ContextLengthExceeded", "OpenAIConfig", "OpenAIDecoder"]
