"""For decoders: telling the reasoning that opens a completion from its answer, while the text streams in."""

from __future__ import annotations

from typing import Literal

Piece = tuple[str, bool]
"""Some text, and whether it is reasoning."""


class ThinkSplitter:
    """Splits a stream in which a block of reasoning may come first. Tags may be cut anywhere, and are not put out.

    `auto` takes what stands between a leading opening tag and the closing tag as reasoning; a tag that is quoted within the
    answer is text. With `open` the stream begins inside the block, as some chat templates open it themselves. `off` splits
    nothing. Blank space between reasoning and answer belongs to neither.
    """

    def __init__(self, mode: Literal["auto", "open", "off"] = "auto", tags: tuple[str, str] = ("<think>", "</think>")) -> None:
        self._opening, self._closing = tags
        self._default = "thinking" if mode == "open" else "text"
        self._state = "text" if mode == "off" else "start"
        self._held = ""

    @property
    def settled(self) -> bool:
        """True once all that follows is text."""
        return self._state == "text"

    def text_only(self) -> None:
        """The API itself marks this choice's reasoning: whatever is in the content is text, unless a tag comes first."""
        self._default = "text"

    def feed(self, text: str) -> list[Piece]:
        """What is certain by now, in order; what may be the beginning of a tag waits for its end."""
        self._held += text
        out: list[Piece] = []
        if self._state == "start":
            self._start()
        if self._state == "thinking":
            self._think(out)
        if self._state == "after":
            self._held = self._held.lstrip()
            self._state = "text" if self._held else "after"
        if self._state == "text" and self._held:
            out.append((self._held, False))
            self._held = ""
        return out

    def end(self) -> list[Piece]:
        """What was held back, now that nothing follows."""
        if self._state == "start":
            self._state = self._default
        held, self._held = self._held, ""
        return [(held, self._state == "thinking")] if held and self._state != "after" else []

    def _start(self) -> None:
        seen = self._held.lstrip()
        if seen.startswith(self._opening):
            self._state, self._held = "thinking", seen[len(self._opening) :]
        elif not self._opening.startswith(seen):
            self._state = self._default

    def _think(self, out: list[Piece]) -> None:
        inside, closed, rest = self._held.partition(self._closing)
        if closed:
            self._state, self._held = "after", rest
        else:
            keep = _overlap(inside, self._closing)
            inside, self._held = inside[: len(inside) - keep], inside[len(inside) - keep :]
        if inside:
            out.append((inside, True))


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` that is a beginning of `tag`."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:size])), 0)
