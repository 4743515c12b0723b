"""Decode with Ollama, by its own API."""

from .config import OllamaConfig
from .decoder import Ollama

__all__ = ["Ollama", "OllamaConfig"]
