"""Text that a stranger wrote, made fit to be shown: nothing hidden, nothing endless, nothing that acts."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

LONGEST = 12_000
"""Characters of one text that a page shows; of a longer one its beginning and, as answers stand there, its end."""

_HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""Control characters, invisible ones, those that turn the direction of writing, and halves of surrogate pairs."""


def plain(text: str) -> str:
    """The text with its hidden characters named, such as `⟨U+202E⟩`, and its line ends as they should be."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def shown(text: str) -> Markup:
    """The text for HTML: escaped, its hidden characters named and marked."""
    pieces = [str(escape(piece)) for piece in _HIDDEN.split(text.replace("\r\n", "\n"))]
    names = [f'<b class="hidden">U+{ord(found):04X}</b>' for found in _HIDDEN.findall(text.replace("\r\n", "\n"))]
    return Markup("".join(a + b for a, b in zip(pieces, [*names, ""], strict=True)))


def clipped(text: str, longest: int = LONGEST) -> tuple[str, int, str]:
    """Beginning, number of characters left out, end; a text that is short enough is all beginning."""
    if len(text) <= longest:
        return text, 0, ""
    head = longest * 2 // 3
    tail = longest - head
    return text[:head], len(text) - longest, text[-tail:]


def line(text: str, longest: int = 160) -> str:
    """The text on one line, for headings and tables."""
    flat = " ".join(plain(text[: 4 * longest]).split())
    return flat if len(flat) <= longest and len(text) <= 4 * longest else flat[: longest - 1].rstrip() + "…"
