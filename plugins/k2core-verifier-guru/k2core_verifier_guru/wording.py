"""Texts and cells of tables in one form, so that case, spacing, quotes and LaTeX's text commands do not count."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}")
_ESCAPED = re.compile(r"\\([$%&#_{}])|\\[,;!: ]|~")
_DASHES = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2010": "-", "\u2011": "-", "\u00a0": " ", "\u2009": " "})
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
_AROUND = " \"'`*$"
_WHOLE = re.compile(r"[-+]?\d{1,300}(?:\.0{1,300})?")


def unlatex(text: str) -> str:
    """Without the commands that only set text, and with escaped characters as themselves."""
    text = _COMMAND.sub(r"\1", text)
    return _ESCAPED.sub(lambda match: match.group(1) or " ", text)


def plain(text: str, *, fold: bool = True) -> str:
    """The words of a text: white space, quotes, dashes, a final stop, marks for bold or mathematics do not count, nor does case
    unless `fold` is off."""
    text = unicodedata.normalize("NFC", unlatex(text)).translate(_DASHES).translate(_QUOTES)
    text = " ".join(text.split())
    text = text.casefold() if fold else text
    return text.lstrip(_AROUND).rstrip(_AROUND + ".")


def cell(value: Any) -> str:
    """A cell of a table, or an item of a list; whole numbers are equal however they are written."""
    if isinstance(value, bool) or value is None:
        return str(value).casefold()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    text = plain(str(value))
    return str(int(float(text)) if "." in text else int(text)) if _WHOLE.fullmatch(text) and len(text) < 16 else text
