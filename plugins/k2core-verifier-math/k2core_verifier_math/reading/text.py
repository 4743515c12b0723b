"""Texts without their marks; light to import, as it needs no record."""

from __future__ import annotations

import re

_FRAME = re.compile(r"\\boxed\s*\{(.*)\}|\\\((.*)\\\)|\\\[(.*)\\\]|\$\$(.*)\$\$|\$([^$]*)\$|\*\*([^*]*)\*\*|`([^`]*)`", re.DOTALL)
_BLANK = re.compile(r"[\s~]+")
_UPRIGHT = re.compile(r"\\(?:text(?:bf|rm|it|normal)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_MARKS = re.compile(r"\\[,;:! ]|[$~]|\\left(?![a-z])|\\right(?![a-z])")
_NEEDLESS = re.compile(r"(?<![^\W_]) | (?![^\W_])")


def unframe(text: str) -> str:
    """Without the white space, full stop and the marks of mathematics or bold print around it."""
    for _ in range(8):
        text = text.strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        match = _FRAME.fullmatch(text)
        if match is None:
            return text
        inner = next(group for group in match.groups() if group is not None)
        if not _balanced(inner):
            return text
        text = inner
    return text


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0


def tidy(text: str) -> str:
    """A text without marks of mathematics and layout, with single blanks between words and none elsewhere."""
    plain = _UPRIGHT.sub(r" \1 ", unframe(text))
    plain = _BLANK.sub(" ", _MARKS.sub(" ", plain)).strip(" .")
    return _NEEDLESS.sub("", plain)
