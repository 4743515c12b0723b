"""The key under which answers vote."""

from __future__ import annotations


def canonical(text: str) -> str:
    """The form under which an answer votes. Takes about a millisecond at most and never raises."""
    from .checkers import keys  # not needed to import the plugin

    return keys.canonical(text)
