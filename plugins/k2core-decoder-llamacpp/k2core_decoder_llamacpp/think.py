"""Where a completion's reasoning begins: in the chat template, or in the turn that is continued."""

from __future__ import annotations


def opens(template: str) -> bool:
    """True when the template ends its prompt for an answer with an opening `<think>`."""
    _, asked, end = template.rpartition("add_generation_prompt")
    return bool(asked) and "<think>" in end and "</think>" not in end


def unclosed(text: str) -> bool:
    """True when the text ends within its reasoning."""
    return text.rfind("<think>") > text.rfind("</think>")
