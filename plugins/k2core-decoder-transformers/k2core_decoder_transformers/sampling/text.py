"""From tokens to text as they come: what is certain is told at once, the rest is held back."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from .vocabulary import Vocabulary


class Writer:
    """The text of one completion. All that `feed` and `end` return, joined, is what the tokenizer makes of all tokens at once
    (special ones skipped, spaces not cleaned up), up to the stop string that ends first.
    """

    def __init__(self, vocabulary: Vocabulary, stop: Sequence[str] = ()) -> None:
        self._stops, self._held, self._ready = tuple(filter(None, stop)), "", ""
        self._decoder = _Bytes(vocabulary) if vocabulary.byte_level else _Window(vocabulary)
        self._special = vocabulary.special
        self.stopped: str | None = None
        """The stop string that ended the text, if one did; further tokens add nothing then."""

    def feed(self, tokens: Iterable[int]) -> str:
        """The text that these tokens make certain: without incomplete UTF-8 and what may be the beginning of a stop string."""
        for token in tokens:
            if self.stopped is None and token not in self._special:
                self._take(self._decoder.feed(token))
        return self._certain(self._held_back())

    def end(self) -> str:
        """The rest, once no token follows."""
        if self.stopped is None:
            self._take(self._decoder.end())
        return self._certain(0)

    def _take(self, text: str) -> None:
        """Add to the held text, unless a stop string ends in it: of several the one that ends first, then the longest."""
        if not text:
            return
        seen, self._held = len(self._held), self._held + text
        found = [(at + len(stop), -len(stop), stop) for stop in self._stops if (at := self._find(stop, seen)) >= 0]
        if found:
            end, length, self.stopped = min(found)
            self._ready, self._held = self._ready + self._held[: end + length], ""
            return
        keep = self._held_back()
        cut = len(self._held) - keep
        self._ready, self._held = self._ready + self._held[:cut], self._held[cut:]

    def _find(self, stop: str, seen: int) -> int:
        return self._held.find(stop, max(0, seen - len(stop) + 1))

    def _held_back(self) -> int:
        """Length of the longest end of the held text with which a stop string may begin."""
        longest = max(map(len, self._stops), default=1) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            end = self._held[-size:]
            if any(stop.startswith(end) for stop in self._stops):
                return size
        return 0

    def _certain(self, keep: int) -> str:
        cut = len(self._held) - keep
        text, self._held, self._ready = self._ready + self._held[:cut], self._held[cut:], ""
        return text


class _Bytes:
    """Byte-level BPE: tokens are bytes, and the text is their UTF-8."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        return self._utf8.decode(self._vocabulary.bytes_of(token))

    def end(self) -> str:
        return self._utf8.decode(b"", final=True)


class _Window:
    """Other tokenizers: what a token adds to the text of the token before it.

    A run of byte tokens is read as a whole when it ends, for one wrong byte in it spoils all of them.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._before: list[int] = []
        self._run: list[int] = []

    def feed(self, token: int) -> str:
        if self._vocabulary.backend.id_to_token(token) is None:  # decoding leaves it out
            return ""
        self._run.append(token)
        return "" if self._vocabulary.is_byte(token) else self.end()

    def end(self) -> str:
        before, both = self._decode(self._before), self._decode(self._before + self._run)
        self._before, self._run = (self._run or self._before), []
        if len(self._before) > 1 and not self._vocabulary.is_byte(self._before[-1]):
            self._before = self._before[-1:]
        return both[len(before) :]

    def _decode(self, tokens: list[int]) -> str:
        return str(self._vocabulary.backend.decode(tokens, skip_special_tokens=False)) if tokens else ""
