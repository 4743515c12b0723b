"""Keys and values of prompts that have been processed, for later prompts that begin alike."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor

from ..model.cache import Cache
from .job import Job


@dataclass(frozen=True)
class Piece:
    """What one step computed of a prompt."""

    tokens: int
    layers: dict[int, Tensor]
    """[parts, tokens, size] of each layer."""
    logits: Tensor | None
    """[1, vocabulary], where the prompt ends here."""

    @property
    def nbytes(self) -> int:
        return sum(held.nbytes for held in self.layers.values()) + (self.logits.nbytes if self.logits is not None else 0)


class Kept:
    """At most `most` bytes, least recently used first to go; every piece is named by all tokens up to its end.

    Pieces are the steps in which a prompt is processed, `chunk` tokens each, and the rest: a later prompt takes over whole steps
    only. A request that is alone then computes the rest in the very steps in which it would have anyway: to the bit the same.
    """

    def __init__(self, cache: Cache, chunk: int, most: int) -> None:
        self._cache, self._chunk, self._most = cache, chunk, most
        self._pieces: OrderedDict[bytes, Piece] = OrderedDict()
        self.nbytes = 0

    def add(self, job: Job) -> None:
        """Keep the prompt of a job that has processed it, and holds it in its slot."""
        if not self._most or job.slot is None:
            return
        spans = list(_spans(job.prompt, self._chunk))
        for name, begin, end in reversed(spans):  # the beginning is touched last: it outlives what follows it
            if name not in self._pieces:
                self._pieces[name] = piece = self._piece(job, begin, end)
                self.nbytes += piece.nbytes
            self._pieces.move_to_end(name)
        while self.nbytes > self._most:
            _, piece = self._pieces.popitem(last=False)
            self.nbytes -= piece.nbytes

    def _piece(self, job: Job, begin: int, end: int) -> Piece:
        layers = {layer: held[job.slot, :, begin:end].clone() for layer, held in self._cache.layers.items()}
        return Piece(end - begin, layers, job.logits if end == len(job.prompt) else None)

    def find(self, prompt: list[int]) -> list[Piece]:
        """The pieces that `prompt` begins with; the last has logits if they are all of it."""
        found = list[Piece]()
        for name, _, _ in _spans(prompt, self._chunk) if self._pieces else ():
            if (piece := self._pieces.get(name)) is None:
                break
            found.append(piece)
        return found

    def restore(self, pieces: list[Piece], slot: int) -> None:
        """Write the pieces to a slot, which must have room for them."""
        at = 0
        for piece in pieces:
            for layer, held in piece.layers.items():
                self._cache.paste(layer, slot, at, held)
            at += piece.tokens

    def clear(self) -> None:
        self._pieces.clear()
        self.nbytes = 0


def _spans(prompt: list[int], chunk: int) -> list[tuple[bytes, int, int]]:
    """(name, begin, end) of each piece; whole prompts have names of their own, as their last piece has logits."""
    spans, chain = list[tuple[bytes, int, int]](), b""
    for begin in range(0, len(prompt), chunk):
        end = min(begin + chunk, len(prompt))
        chain = hashlib.blake2b(chain + array("q", prompt[begin:end]).tobytes(), digest_size=16).digest()
        spans.append((chain + b"." if end == len(prompt) else chain, begin, end))
    return spans
