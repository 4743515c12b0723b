"""Making text from models, servers and files fit to be printed on a terminal."""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]")
"""Control characters other than tab and newline, marks that reorder text, lone surrogates."""


def printable(text: str, encoding: str | None = "utf-8") -> str:
    """`text` without anything that steers a terminal, each such character made a question mark, and encodable in `encoding`.

    So a model cannot move the cursor, set the window's title, fill the clipboard or reverse what is read.
    """
    safe = _UNSAFE.sub("?", text.replace("\r\n", "\n"))
    return safe.encode(encoding or "ascii", "replace").decode(encoding or "ascii")


def one_line(text: str, width: int, encoding: str | None = "utf-8") -> str:
    """The beginning of `text` in at most `width` characters, white space joined."""
    joined = " ".join(printable(text[: 4 * width], encoding).split())
    return joined if len(joined) <= width else joined[: max(0, width - 3)] + "..."
