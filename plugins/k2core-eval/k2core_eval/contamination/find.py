"""Finding the problems of an index in a batch of training texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from .align import Likeness, Pair, base_scores, likeness, words
from .index import Floats, Grams, Index, Ints, Tokens, Word, gram_hashes, shingle_hashes
from .text import TOKEN, canonical, is_number, raw_tokens, tidy

Kind: TypeAlias = Literal["exact", "normalised", "ngram", "near", "possible"]
KINDS: tuple[Kind, ...] = ("exact", "normalised", "ngram", "near", "possible")
"""From the surest to the weakest. `possible` is no finding: a short problem whose wording occurs with other numbers."""

SEGMENT = 256
CELLS = 4_000_000
SHARED = 0.25
"""Of a problem's shingles, by rarity, that a stretch of text must hold to be looked at closely."""
GRAMS_SHARED = 0.5
REPLACED = 0.35
"""How much of a likeness renamed words may bring at most; less in short problems."""
CLEARLY = 0.05
"""A row that is clearly more like one problem than like another of the same task says nothing about the other."""
ALIKE, ALIKE_SHORT = 0.80, 0.95
LONG, MIDDLE, SHORT = 60.0, 30.0, 12.0
"""Nats of information in a problem's words: from `LONG` on `ALIKE` decides, below `SHORT` the numbers must be the same too."""
SAME_NUMBERS = 0.1


class Found(NamedTuple):
    """A problem in a row."""

    problem: int
    kind: Kind
    score: float
    share: float
    numbers: float | None
    """Share of the problem's numbers that the row has there as well; None where it has no numbers."""
    row: int
    """Index within the batch."""
    first: int
    last: int
    """The raw tokens of the row, `last` exclusive."""
    excerpt: str


def required(information: float) -> float:
    """The likeness that a problem of so much information needs to count as found."""
    if information >= LONG:
        return ALIKE
    return min(ALIKE_SHORT, ALIKE + (ALIKE_SHORT - ALIKE) * (LONG - information) / (LONG - MIDDLE))


def _looked_at(information: float) -> float:
    """The base score from which an alignment is followed back."""
    return required(information) - REPLACED * min(1.0, information / LONG)


def _own_rows(index: Index, found: Sequence[Found]) -> Iterator[Found]:
    """Leaves out a problem where the same stretch of text is clearly another one of its task."""
    by_row: dict[tuple[int, str], list[Found]] = defaultdict(list)
    for one in found:
        by_row[one.row, index.items[one.problem].task].append(one)
    for rivals in by_row.values():
        yield from (one for one in rivals if not any(_beats(other, one) for other in rivals))


def _beats(other: Found, one: Found) -> bool:
    if other.last <= one.first or one.last <= other.first or one.kind in ("exact", "normalised"):
        return False
    if other.score >= one.score + CLEARLY:
        return True
    same = [found.numbers is None or found.numbers >= 0.99 for found in (other, one)]
    return same == [True, False] and other.score >= one.score - CLEARLY


def find(index: Index, texts: Sequence[str], others: Sequence[int] | None = None) -> Iterator[Found]:
    """What the texts hold of the index's problems. With `others`, text `i` is itself problem `others[i]`, which is passed over."""
    raws = [raw_tokens(text) for text in texts]
    lengths = np.fromiter(map(len, raws), np.int64, len(raws))
    codes = np.fromiter(map(index.codes.__getitem__, chain.from_iterable(raws)), np.int64, int(lengths.sum()))
    row = np.repeat(np.arange(len(raws)), lengths)
    tokens = index.sequences(codes, row)
    pairs = _pairs(index, tokens, len(raws), _shares(index, codes, row))
    if others is not None:
        pairs = [pair for pair in pairs if others[pair.row] != pair.problem]
    if not pairs:
        return
    scores = base_scores(index, tokens, pairs)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    found = []
    for pair, score in zip(pairs, scores.tolist(), strict=True):
        if score >= _looked_at(float(index.information[pair.problem])) or pair.share >= GRAMS_SHARED:
            first, last = int(tokens.at[pair.first] - starts[pair.row]), int(tokens.at[pair.last - 1] - starts[pair.row]) + 1
            found.append(_judge(index, pair, texts[pair.row], raws[pair.row], first, last))
    yield from _own_rows(index, [one for one in found if one])


def _shares(index: Index, codes: Ints, row: Ints) -> dict[tuple[int, int], float]:
    """By row and problem: the share of the problem's n-grams that the row holds, where it is half of them or more."""
    full = index.full[codes]
    keep = full >= 0
    full, row = full[keep], row[keep]
    at, gram = index.grams.look(gram_hashes(full, index.random))
    inside = row[at] == row[at + 12] if len(at) else np.zeros(0, np.bool_)
    rows, problems, weights = _sums(index.grams, row[at[inside]], gram[inside], len(index.items))
    enough = weights >= GRAMS_SHARED * index.grams.total[problems]
    found = zip(
        rows[enough].tolist(), problems[enough].tolist(), (weights / index.grams.total[problems])[enough].tolist(), strict=True
    )
    return {(r, p): share for r, p, share in found}


def _sums(grams: Grams, group: Ints, gram: Ints, problems: int) -> tuple[Ints, Ints, Floats]:
    """Sums the weights of the distinct groups found, by place and problem. Returns places, problems and weights."""
    keys = np.unique(group * len(grams.hashes) + gram)
    group, gram = np.divmod(keys, max(1, len(grams.hashes)))
    parts: list[tuple[Ints, Ints, Floats]] = [(group[:0], group[:0], np.zeros(0, np.float32))]
    size = max(1, CELLS // max(1, problems))
    for low in range(0, int(group[-1]) + 1 if len(group) else 0, size):
        a, b = np.searchsorted(group, [low, low + size])
        if a == b:
            continue
        count = grams.start[gram[a:b] + 1] - grams.start[gram[a:b]]
        place = np.repeat(grams.start[gram[a:b]] - np.concatenate([[0], np.cumsum(count)[:-1]]), count) + np.arange(
            int(count.sum())
        )
        cell = np.repeat(group[a:b] - low, count) * problems + grams.problem[place]
        table = np.bincount(cell, np.repeat(grams.weight[gram[a:b]], count), 1)
        filled = np.flatnonzero(table)
        parts.append((filled // problems + low, filled % problems, table[filled].astype(np.float32)))
    places, owners, weights = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return places, owners, weights


def _pairs(index: Index, tokens: Tokens, rows: int, shares: dict[tuple[int, int], float]) -> list[Pair]:
    """The problems and stretches of text that deserve an alignment."""
    bounds = np.searchsorted(tokens.row, np.arange(rows + 1))
    if len(tokens.row) < 3:
        return []
    hashes = shingle_hashes(tokens.masked, index.random)
    at, shingle = index.shingles.look(hashes)
    inside = tokens.row[at] == tokens.row[at + 2]
    at, shingle = at[inside], shingle[inside]
    pieces = (np.diff(bounds) + SEGMENT - 1) // SEGMENT
    first_piece = np.concatenate([[0], np.cumsum(pieces)])
    row = tokens.row[at]
    piece = first_piece[row] + (at - bounds[row]) // SEGMENT
    keys = _candidates(index, piece, shingle, np.repeat(np.arange(rows), pieces))
    hits = (at, shingle, np.searchsorted(at, bounds))
    return [_window(index, hits, bounds, r, p, shares.get((r, p), 0.0)) for r, p in sorted(keys | shares.keys())]


def _candidates(index: Index, piece: Ints, shingle: Ints, row_of: Ints) -> set[tuple[int, int]]:
    """Rows and problems where a piece and the next hold enough of the problem's shingles."""
    problems = len(index.items)
    places, owners, weights = _sums(index.shingles, piece, shingle, problems)
    key = places * problems + owners
    following = np.searchsorted(key, key + problems)
    following[following == len(key)] = 0
    if len(key):
        joins = (key[following] == key + problems) & (row_of[places[following]] == row_of[places])
        weights = weights + joins * weights[following]
    share = np.where(index.information < SHORT, 2 * SHARED, SHARED)
    enough = weights >= (share * index.shingles.total)[owners] - 1e-4
    return set(zip(row_of[places[enough]].tolist(), owners[enough].tolist(), strict=True))


def _window(index: Index, hits: tuple[Ints, Ints, Ints], bounds: Ints, row: int, problem: int, share: float) -> Pair:
    """The stretch of a row that holds most of a problem's shingles, with room on both sides."""
    low, high = int(bounds[row]), int(bounds[row + 1])
    length = int(index.bounds[problem + 1] - index.bounds[problem])
    size = length + length // 3 + 16
    if high - low <= 2 * size:
        return Pair(problem, row, low, high, share)
    at, shingle, starts = hits
    some = slice(starts[row], starts[row + 1])
    own = index.owned(problem)
    place = np.minimum(np.searchsorted(own, shingle[some]), len(own) - 1)
    mine = own[place] == shingle[some]
    positions = at[some][mine]
    if not len(positions):
        return Pair(problem, row, low, min(high, low + 2 * size), share)
    best = int(_coverage(positions, shingle[some][mine], index.shingles.weight, size).argmax())
    middle = int(positions[best])
    return Pair(problem, row, max(low, middle - length // 2 - 8), min(high, middle + size + length // 2), share)


def _words(index: Index, problem: int) -> list[Word]:
    if problem not in index.memo:
        index.memo[problem] = words(index, index.raw(problem))
    return index.memo[problem]


def _coverage(positions: Ints, shingle: Ints, weight: Floats, size: int) -> Floats:
    """By position, sorted: the weight of the distinct shingles from there on, within `size` tokens."""
    order = np.lexsort((positions, shingle))
    before = np.full(len(positions), -1)
    again = np.flatnonzero(shingle[order[1:]] == shingle[order[:-1]])
    before[order[again + 1]] = positions[order[again]]
    first = np.searchsorted(positions, np.maximum(before, positions - size), side="right")
    own = weight[shingle]
    change = np.bincount(first, own, len(positions) + 1) - np.bincount(np.arange(len(positions)) + 1, own, len(positions) + 1)
    covered: Floats = np.cumsum(change)[:-1]
    return covered


def _judge(index: Index, pair: Pair, text: str, raws: Sequence[str], first: int, last: int) -> Found | None:
    item = index.items[pair.problem]
    own, own_words = index.raw(pair.problem), _words(index, pair.problem)
    like = likeness(own_words, words(index, raws[first:last]))
    like = Likeness(like.score, like.first + first, like.last + first)
    numbers = _numbers(own, raws[max(0, like.first - 2) : like.last + 2])
    kind = _kind(index, pair, item.text, own, text, raws[first:last], like.score, numbers)
    if kind is None:
        return None
    score = 1.0 if kind in ("exact", "normalised") else like.score
    excerpt = _excerpt(text, like.first, like.last) if item.publishable else ""
    return Found(
        pair.problem, kind, round(min(1.0, score), 4), round(pair.share, 4), numbers, pair.row, like.first, like.last, excerpt
    )


def _kind(
    index: Index, pair: Pair, own_text: str, own: Sequence[str], text: str, raws: Sequence[str], score: float, numbers: float | None
) -> Kind | None:
    if own_text.strip() in text:
        return "exact"
    if _joined(own) in _joined(raws):
        return "normalised"
    if pair.share >= GRAMS_SHARED:
        return "ngram"
    information = float(index.information[pair.problem])
    needed = required(information) - (SAME_NUMBERS if numbers is not None and numbers >= 0.99 else 0.0)
    if score < needed:
        return None
    return "possible" if information < SHORT and numbers is not None and numbers < 0.99 else "near"


def _joined(raws: Sequence[str]) -> str:
    return f" {' '.join(word for raw in raws if (word := canonical(raw)))} "


def _numbers(own: Sequence[str], window: Sequence[str]) -> float | None:
    wanted = Counter(word for raw in own if (word := canonical(raw)) and is_number(word))
    if not wanted:
        return None
    there = Counter(word for raw in window if (word := canonical(raw)) and is_number(word))
    return round((wanted & there).total() / wanted.total(), 4)


def _excerpt(text: str, first: int, last: int, most: int = 240) -> str:
    """The stretch of the training text between two raw tokens, cut short."""
    clean = tidy(text)
    spans = [match.span() for match in islice(TOKEN.finditer(clean), first, last)]
    piece = " ".join(clean[spans[0][0] : spans[-1][1]].split()) if spans else ""
    piece = piece if len(piece) <= most else piece[: most - 1] + "…"
    return piece.encode("utf-8", "replace").decode()
