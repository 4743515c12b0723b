"""Characters that a server's JSON escapes cut in halves."""

from __future__ import annotations


class SurrogateJoiner:
    """Mends characters beyond U+FFFF that a server's JSON escapes split over two chunks; lone halves become U+FFFD."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """The text, with what the last one left open, without what this one leaves open."""
        if not self._half and text.isascii():
            return text
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return _valid(text[: len(text) - len(self._half)])

    def end(self) -> str:
        half, self._half = self._half, ""
        return "\ufffd" if half else ""


def _valid(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
