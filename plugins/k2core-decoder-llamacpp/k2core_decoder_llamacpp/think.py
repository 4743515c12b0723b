"""Tell reasoning from answer in a stream: what a model writes between a leading `<think>` and `</think>`."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def opens(template: str) -> bool:
    """Whether a chat template itself begins the reasoning of every answer."""
    _, asked, end = template.rpartition("add_generation_prompt")
    return bool(asked) and OPEN in end and CLOSE not in end


Piece = tuple[str, bool]
"""A text, and whether it is reasoning."""


class ThinkSplitter:
    """Feed it text as it comes. Tags may be cut anywhere; what might be the beginning of one waits for its end.

    Only a block that opens the completion counts: a tag that is quoted within an answer is text.
    """

    def __init__(self, inside: bool = False) -> None:
        """`inside`: the chat template has opened the block already."""
        self._inside_from_start = inside
        self._state = "start"
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain by now."""
        self._held += text
        pieces: list[Piece] = []
        state = ""
        while state != self._state:
            state = self._state
            pieces += getattr(self, f"_{state}")()
        return [piece for piece in pieces if piece[0]]

    def finish(self) -> list[Piece]:
        """What is left when the completion ends, perhaps in the middle of a tag."""
        held, self._held = self._held, ""
        inside = self._state == "inside" or (self._state == "start" and self._inside_from_start)
        return [(held, inside)] if held and self._state != "after" else []

    def _start(self) -> list[Piece]:
        seen = self._held.lstrip()
        if seen.startswith(OPEN):
            self._state, self._held = "inside", seen.removeprefix(OPEN)
        elif not OPEN.startswith(seen):
            self._state = "inside" if self._inside_from_start else "text"
        return []

    def _inside(self) -> list[Piece]:
        before, close, after = self._held.partition(CLOSE)
        if close:
            self._state, self._held = "after", after
            return [(before, True)]
        keep = _overlap(before)
        self._held = before[len(before) - keep :]
        return [(before[: len(before) - keep], True)]

    def _after(self) -> list[Piece]:
        """Blank lines between reasoning and answer belong to neither."""
        self._held = self._held.lstrip()
        self._state = "text" if self._held else "after"
        return []

    def _text(self) -> list[Piece]:
        text, self._held = self._held, ""
        return [(text, False)]


def _overlap(text: str) -> int:
    """Length of the longest end of `text` that could be the beginning of the closing tag."""
    return next((size for size in range(min(len(text), len(CLOSE) - 1), 0, -1) if CLOSE.startswith(text[-size:])), 0)
