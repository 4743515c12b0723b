"""How alike a problem and a stretch of training text are, when numbers, names and things may have been changed.

A local alignment over weighted tokens: matched tokens score their weight, tokens that the training text has in between cost half of
theirs, one that stands in another's place costs nothing. Any number matches any number and any name any name. A word that is
replaced by the same other word throughout gets 0.9 of its weight back, one replaced once between two matches 0.5: renamed things
are a renaming, random differences are not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .index import Floats, Index, Ints, Tokens, Word
from .text import canonical, is_name, is_number

Doubles: TypeAlias = NDArray[np.float64]

GAP = 0.5
CONSISTENT, ONCE = 0.9, 0.5
CHUNK = 128


class Pair(NamedTuple):
    """A problem, and the stretch of a batch's tokens that it may be in."""

    problem: int
    row: int
    first: int
    last: int
    """Exclusive."""
    share: float = 0.0
    """Of the problem's n-grams found in the row."""


def base_scores(index: Index, tokens: Tokens, pairs: Sequence[Pair]) -> Floats:
    """Shape (len(pairs),): the alignment's score without renamings, over the problem's whole weight."""
    spans = [(int(index.bounds[p.problem]), int(index.bounds[p.problem + 1])) for p in pairs]
    order = sorted(range(len(pairs)), key=lambda i: (spans[i][1] - spans[i][0], pairs[i].last - pairs[i].first))
    scores = np.zeros(len(pairs), np.float32)
    for at in range(0, len(order), CHUNK):
        some = order[at : at + CHUNK]
        scores[some] = _scores(index.sequence, [spans[i] for i in some], tokens, [(pairs[i].first, pairs[i].last) for i in some])
    return scores


def _scores(left: Tokens, spans: Sequence[tuple[int, int]], right: Tokens, windows: Sequence[tuple[int, int]]) -> Floats:
    masked, full = _padded(left.masked, spans, -2), _padded(left.full, spans, -2)
    weight = _padded(left.weight, spans, 0)
    others, words = _padded(right.masked, windows, -3), _padded(right.full, windows, -3)
    gaps = np.zeros((len(windows), others.shape[1] + 1), np.float32)
    np.cumsum(GAP * _padded(right.weight, windows, 0), axis=1, out=gaps[:, 1:])
    best = np.zeros_like(gaps)
    for i in range(masked.shape[1]):
        gain = ((others == masked[:, i, None]) | (words == full[:, i, None])) * weight[:, i, None]
        new = best.copy()
        np.maximum(best[:, 1:], best[:, :-1] + gain, out=new[:, 1:])
        best = np.maximum.accumulate(new + gaps, axis=1) - gaps
    score: Floats = best.max(axis=1) / np.maximum(weight.sum(axis=1), 1e-6)
    return score


def _padded(values: Ints | Floats, spans: Sequence[tuple[int, int]], fill: int) -> Ints | Floats:
    width = max(b - a for a, b in spans)
    table = np.full((len(spans), width), fill, values.dtype)
    for i, (a, b) in enumerate(spans):
        table[i, : b - a] = values[a:b]
    return table


def words(index: Index, raws: Sequence[str]) -> list[Word]:
    """Raw tokens without layout, runs of numbers merged."""
    found: list[Word] = []
    for at, raw in enumerate(raws):
        word = canonical(raw)
        if not word:
            continue
        number, name = is_number(word), is_name(raw, word)
        if number and found and found[-1].number:
            continue
        weight = 1.0 if number or name else index.word_weight(word)
        found.append(Word("#" if number else word, name, number, weight, at))
    return found


class Likeness(NamedTuple):
    score: float
    """0..1, renamings included."""
    first: int
    last: int
    """The raw tokens of the training text that were aligned, `last` exclusive."""


def likeness(problem: Sequence[Word], window: Sequence[Word]) -> Likeness:
    """Aligns, follows the alignment back, and gives renamed words their credit."""
    if not problem or not window:
        return Likeness(0.0, 0, 0)
    weights = np.array([word.weight for word in problem])
    hits = _hits(problem, window)
    gaps = np.concatenate([[0.0], np.cumsum([GAP * word.weight for word in window])])
    gains = hits * weights[:, None]
    table = np.zeros((len(problem) + 1, len(window) + 1))
    for i in range(len(problem)):
        new = table[i].copy()
        np.maximum(new[1:], table[i, :-1] + gains[i], out=new[1:])
        table[i + 1] = np.maximum.accumulate(new + gaps) - gaps
    end = int(table[-1].argmax())
    steps = _steps(table, hits, weights, end)
    credit = _credit(steps, problem, window)
    matched = [b for kind, _, b in steps if kind == "match"]
    if not matched:
        return Likeness(0.0, 0, 0)
    score = (float(table[-1, end]) + credit) / float(weights.sum())
    return Likeness(score, window[matched[0]].at, window[matched[-1]].at + 1)


def _hits(problem: Sequence[Word], window: Sequence[Word]) -> NDArray[np.bool_]:
    """Shape (len(problem), len(window)): which tokens match."""
    numbered = {word.text: i for i, word in enumerate(problem)}
    left = np.array([numbered[word.text] for word in problem])
    right = np.array([numbered.get(word.text, -1) for word in window])
    names = np.array([word.name for word in problem])[:, None] & np.array([word.name for word in window])
    same: NDArray[np.bool_] = (left[:, None] == right) | names
    return same


def _steps(scores: Doubles, matching: NDArray[np.bool_], weighing: Doubles, end: int) -> list[tuple[str, int, int]]:
    table, hits, weights = scores.tolist(), matching.tolist(), weighing.tolist()  # lists are faster to read one by one
    i, j, tiny = len(weights), end, 1e-9
    steps: list[tuple[str, int, int]] = []
    while i > 0 and j > 0:
        here, diagonal = table[i][j], table[i - 1][j - 1]
        if hits[i - 1][j - 1] and abs(here - diagonal - weights[i - 1]) < tiny:
            i, j = i - 1, j - 1
            steps.append(("match", i, j))
        elif abs(here - table[i - 1][j]) < tiny:
            i -= 1
            steps.append(("left out", i, -1))
        elif abs(here - diagonal) < tiny:
            i, j = i - 1, j - 1
            steps.append(("replaced", i, j))
        else:
            j -= 1
            steps.append(("put in", -1, j))
    return steps[::-1]


def _credit(steps: Sequence[tuple[str, int, int]], problem: Sequence[Word], window: Sequence[Word]) -> float:
    times = Counter(word.text for word in problem)
    replaced: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for k, (kind, a, b) in enumerate(steps):
        if kind == "replaced" and problem[a].weight > 1.0:
            replaced[problem[a].text].append((window[b].text, a, k))
    credit = 0.0
    for word, places in replaced.items():
        other, count = Counter(text for text, _, _ in places).most_common(1)[0]
        for text, a, k in places:
            if text != other:
                continue
            if count >= 2 and count >= 0.6 * times[word]:
                credit += CONSISTENT * problem[a].weight
            elif times[word] == 1 and _between(steps, k):
                credit += ONCE * problem[a].weight
    return credit


def _between(steps: Sequence[tuple[str, int, int]], k: int) -> bool:
    return 0 < k < len(steps) - 1 and steps[k - 1][0] == "match" and steps[k + 1][0] == "match"
