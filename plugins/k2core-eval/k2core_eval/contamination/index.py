"""The evaluation's side, indexed: it is small, so every training row is looked up in it once, whatever their number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .text import canonical, is_name, is_number, raw_tokens

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Hashes: TypeAlias = NDArray[np.uint64]

DROPPED, UNKNOWN, UNKNOWN_NAME, UNKNOWN_NUMBER, FIRST = 0, 1, 2, 3, 4
NOTHING, NUMBER, NAME, WORD = 0, 1, 2, 3
"""Masked tokens: nothing that the evaluation knows, any number, any name, and from `WORD` on the words themselves."""
GRAM = 13
SHINGLE = 3
SIGNS = frozenset("-+*/^()=<>|!")
CACHED = 400_000
BITS = 22


@dataclass(frozen=True)
class Item:
    """A problem of the evaluation."""

    task: str
    place: int
    id: str
    text: str
    publishable: bool = True


class Codes(dict[str, int]):
    """Raw tokens to codes; remembers those seen, up to a limit that keeps memory bounded."""

    def __init__(self, words: dict[str, int]) -> None:
        super().__init__()
        self.words = words

    def __missing__(self, raw: str) -> int:
        code = self._code(raw)
        if len(self) < CACHED:
            self[raw] = code
        return code

    def _code(self, raw: str) -> int:
        word = canonical(raw)
        if not word:
            return DROPPED
        known = self.words.get(word)
        name = is_name(raw, word)
        if known is None:
            return UNKNOWN_NUMBER if is_number(word) else UNKNOWN_NAME if name else UNKNOWN
        return FIRST + 2 * known + name


@dataclass(frozen=True)
class Word:
    """A token of an alignment."""

    text: str
    name: bool
    number: bool
    weight: float
    at: int
    """Index of its raw token."""


@dataclass
class Tokens:
    """The tokens of texts, one text after another, without layout and with runs of numbers merged."""

    masked: Ints
    full: Ints
    weight: Floats
    at: Ints
    """Index of the raw token, counted over all texts."""
    row: Ints


@dataclass
class Grams:
    """Hashes of token groups, sorted, with the problems that each occurs in."""

    hashes: Hashes
    weight: Floats
    start: Ints
    """Of each hash's problems in `problem`; one longer than `hashes`."""
    problem: Ints
    total: Floats
    """By problem: the summed weight of its groups."""
    seen: NDArray[np.bool_]

    def look(self, hashes: Hashes) -> tuple[Ints, Ints]:
        """Positions in `hashes` that are known, and their index."""
        maybe = np.flatnonzero(self.seen[hashes >> np.uint64(64 - BITS)])
        if not len(maybe):
            return maybe, maybe
        found = np.searchsorted(self.hashes, hashes[maybe])
        found[found == len(self.hashes)] = 0
        good = self.hashes[found] == hashes[maybe]
        return maybe[good], found[good]


class Index:
    """Everything a worker needs to find the problems in training rows. Read-only once built, and the same in every process."""

    def __init__(self, items: Sequence[Item], sample: Iterable[str] = ()) -> None:
        self.items = list(items)
        self.raws = raws = [raw_tokens(item.text) for item in self.items]
        frequency, texts = _frequency(raws, sample)
        self.words = {word: i for i, word in enumerate(sorted(frequency))}
        self.frequency, self.texts = frequency, texts
        self.codes = Codes(self.words)
        self._tables()
        self.sequence = self.encode(raws)
        self.bounds = np.searchsorted(self.sequence.row, np.arange(len(self.items) + 1))
        self.information = np.array([self.sequence.weight[a:b].sum() for a, b in self._spans()], np.float32)
        codes = [np.fromiter(map(self.codes.__getitem__, raw), np.int64, len(raw)) for raw in raws]
        self.shingles = self._grams([shingle_hashes(self.sequence.masked[a:b], self.random) for a, b in self._spans()], rare=True)
        self.grams = self._grams([gram_hashes(full[full >= 0], self.random) for full in (self.full[c] for c in codes)], rare=False)
        self._own()
        self.memo: dict[int, list[Word]] = {}

    def _spans(self) -> list[tuple[int, int]]:
        return list(zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True))

    def raw(self, problem: int) -> list[str]:
        return self.raws[problem]

    def owned(self, problem: int) -> Ints:
        """The shingles of a problem, by their index, sorted."""
        return self._owned[self._owned_start[problem] : self._owned_start[problem + 1]]

    def _own(self) -> None:
        gram = np.repeat(np.arange(len(self.shingles.hashes)), np.diff(self.shingles.start))
        order = np.lexsort((gram, self.shingles.problem))
        self._owned = gram[order]
        self._owned_start = np.searchsorted(self.shingles.problem[order], np.arange(len(self.items) + 1))

    def word_weight(self, word: str) -> float:
        """Inverse document frequency in nats of a canonical word, plus 0.3; signs, which any formula has, weigh 0.5."""
        if word in SIGNS:
            return 0.5
        return 0.3 + math.log((self.texts + 1) / (self.frequency.get(word, 0) + 0.5))

    def _tables(self) -> None:
        words = sorted(self.words, key=self.words.__getitem__)
        unknown = 0.3 + math.log((self.texts + 1) / 1.5)
        full, masked, weight = [-1, 0, 0, 0], [-1, NOTHING, NAME, NUMBER], [0.0, unknown, 1.0, 1.0]
        for i, word in enumerate(words):
            number = is_number(word)
            full += [i + 1, i + 1]
            masked += [NUMBER, NUMBER] if number else [WORD + i, NAME]
            weight += [1.0, 1.0] if number else [self.word_weight(word), 1.0]
        self.full, self.masked = np.array(full, np.int64), np.array(masked, np.int64)
        self.weight = np.array(weight, np.float32)
        drawn = np.random.default_rng(20250912).integers(1, 2**63, len(words) + WORD + 1, dtype=np.uint64)
        self.random = drawn * np.uint64(2) + np.uint64(1)

    def encode(self, raws: Sequence[Sequence[str]]) -> Tokens:
        """The sequences of texts given as raw tokens."""
        lengths = np.fromiter(map(len, raws), np.int64, len(raws))
        codes = np.fromiter(map(self.codes.__getitem__, chain.from_iterable(raws)), np.int64, int(lengths.sum()))
        return self.sequences(codes, np.repeat(np.arange(len(raws)), lengths))

    def sequences(self, codes: Ints, row: Ints) -> Tokens:
        masked = self.masked[codes]
        keep = np.flatnonzero(masked >= 0)
        number = masked[keep] == NUMBER
        again = np.zeros(len(keep), np.bool_)
        again[1:] = number[1:] & number[:-1] & (row[keep[1:]] == row[keep[:-1]])
        keep = keep[~again]
        return Tokens(masked[keep], self.full[codes[keep]], self.weight[codes[keep]], keep, row[keep])

    def _grams(self, sets: Sequence[Hashes], rare: bool) -> Grams:
        """With `rare`, groups that many problems share are left out, but for the rarest eight of each problem."""
        sets = [np.unique(hashes) for hashes in sets]
        joined = np.concatenate([np.zeros(0, np.uint64), *sets])
        owner = np.repeat(np.arange(len(sets)), [len(hashes) for hashes in sets])
        hashes, index, count = np.unique(joined, return_inverse=True, return_counts=True)
        weight = np.log((2 * len(sets) + 1) / count).astype(np.float32) if rare else np.ones(len(hashes), np.float32)
        if rare:
            common = count > max(20, len(sets) // 20)
            order = np.lexsort((joined, count[index], owner))
            rank = np.empty(len(order), np.int64)
            starts = np.searchsorted(owner, np.arange(len(sets)))
            rank[order] = np.arange(len(order)) - starts[owner[order]]
            kept = ~common[index] | (rank < 8)
            index, owner = index[kept], owner[kept]
        total = np.bincount(owner, weight[index], len(sets)).astype(np.float32)
        order = np.argsort(index, kind="stable")
        start = np.searchsorted(index[order], np.arange(len(hashes) + 1))
        seen = np.zeros(1 << BITS, np.bool_)
        seen[hashes >> np.uint64(64 - BITS)] = True
        return Grams(hashes, weight, start, owner[order], total, seen)


def shingle_hashes(masked: Ints, random: Hashes) -> Hashes:
    """A hash at each position for the `SHINGLE` masked tokens from there on; shorter by `SHINGLE - 1`."""
    first = random[masked]
    a, b, c = first[:-2], first[1:-1], first[2:]
    return _mix(a + b * np.uint64(0x9E3779B97F4A7C15) + c * np.uint64(0xC2B2AE3D27D4EB4F))


def gram_hashes(full: Ints, random: Hashes) -> Hashes:
    """A hash at each position for the `GRAM` canonical tokens from there on, by doubling."""
    p = 0x9E3779B97F4A7C15
    one = random[full]
    if len(one) < GRAM:
        return one[:0]
    count = len(one) - GRAM + 1
    two = one[:-1] + one[1:] * np.uint64(p)
    four = two[:-2] + two[2:] * np.uint64(pow(p, 2, 1 << 64))
    eight = four[:-4] + four[4:] * np.uint64(pow(p, 4, 1 << 64))
    tail = four[8 : 8 + count] * np.uint64(pow(p, 8, 1 << 64)) + one[12 : 12 + count] * np.uint64(pow(p, 12, 1 << 64))
    return _mix(eight[:count] + tail)


def _mix(hashes: Hashes) -> Hashes:
    hashes = hashes ^ (hashes >> np.uint64(31))
    return hashes * np.uint64(0xBF58476D1CE4E5B9)


def _frequency(raws: Sequence[Sequence[str]], sample: Iterable[str]) -> tuple[Counter[str], int]:
    """In how many texts each canonical word occurs, and of how many texts. Repeated texts count once."""
    frequency: Counter[str] = Counter()
    words = [{canonical(raw) for raw in text} for text in raws]
    for own in words:
        frequency.update(own)
    distinct = {" ".join(raw_tokens(text)) for text in sample}
    others: Counter[str] = Counter()
    for text in sorted(distinct):
        others.update({canonical(raw) for raw in raw_tokens(text)})
    for word, count in others.items():
        if count > 1 or word in frequency:
            frequency[word] += count
    frequency.pop("", None)
    return frequency, len(raws) + len(distinct)
