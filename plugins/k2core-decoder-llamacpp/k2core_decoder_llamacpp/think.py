"""Whether a chat template itself begins the reasoning of every answer."""

from __future__ import annotations


def opens(template: str) -> bool:
    """True when the template ends its prompt for an answer with an opening `<think>`."""
    _, asked, end = template.rpartition("add_generation_prompt")
    return bool(asked) and "<think>" in end and "</think>" not in end
