"""The drafters that need no model, against brute force."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from k2core_decoder_transformers.speculation.automaton import Automaton, Cursor
from k2core_decoder_transformers.speculation.lookup import Index, PromptLookup
from k2core_decoder_transformers.speculation.sibling import Sibling


@dataclass
class Seen:
    id: int
    group: int = 0
    prompt: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    prediction: list[int] = field(default_factory=list)
    warp: Any = None
    noise: Any = None
    room: int = 1000


def counted(events: list[tuple[list[int], int]], context: list[int]) -> tuple[Counter[int], dict[int, int]]:
    """How often, and when last, each token followed `context`; an event is a history and the token behind it."""
    counts: Counter[int] = Counter()
    last: dict[int, int] = {}
    for time_, (before, token) in enumerate(events):
        if len(before) >= len(context) and before[len(before) - len(context) :] == context:
            counts[token] += 1
            last[token] = time_
    return counts, last


def drafted(events: list[tuple[list[int], int]], text: list[int], longest: int, shortest: int, most: int) -> tuple[list[int], int]:
    """What `Automaton.draft` has to say, by looking through everything."""
    context, found, match = text[-longest:], [], 0
    while len(found) < most:
        while context and not counted(events, context)[0]:
            context = context[1:]
        if len(context) < shortest:
            break
        match = match or len(context)
        counts, last = counted(events, context)
        token = max(counts, key=lambda t: (counts[t], last[t]))
        found.append(token)
        context = [*context, token][-longest:]
    return found, match


def grow(seed: int, letters: int, texts: int, steps: int, longest: int) -> None:
    rng = random.Random(seed)
    automaton, events, written = Automaton(longest, 10**6), [], [[] for _ in range(texts)]
    cursors = [Cursor() for _ in range(texts)]
    for _ in range(steps):
        which = rng.randrange(texts)
        other = written[rng.randrange(texts)]
        copied = rng.random() < 0.5 and len(other) > len(written[which])
        token = other[len(written[which])] if copied else rng.randrange(letters)
        events.append((list(written[which]), token))
        written[which].append(token)
        automaton.extend(cursors[which], token)
        asked = rng.randrange(texts)
        assert automaton.draft(cursors[asked], 4, 1) == drafted(events, written[asked], longest, 1, 4)
    assert automaton.states <= 2 * steps + 1


@pytest.mark.parametrize("longest", [1, 2, 3, 5, 64])
@pytest.mark.parametrize("letters", [1, 2, 3, 8])
def test_automaton_is_exact(letters: int, longest: int) -> None:
    for seed in range(6):
        grow(seed, letters, texts=1 + seed % 4, steps=50, longest=longest)


def test_full_automaton_still_follows() -> None:
    automaton, first, second = Automaton(8, 12), Cursor(), Cursor()
    for token in range(12):
        automaton.extend(first, token)
    states = automaton.states
    for token in [3, 4, 5, 99, 6, 7]:
        automaton.extend(second, token)
    assert automaton.states == states
    assert automaton.draft(second, 3, 2) == ([8, 9, 10], 2)
    automaton.extend(second, 1000)
    assert automaton.draft(second, 3, 1) == ([], 0)


def test_full_automaton_matches_what_it_knows() -> None:
    rng = random.Random(3)
    automaton, first, events = Automaton(5, 60), Cursor(), []
    text = [rng.randrange(3) for _ in range(60)]
    for i, token in enumerate(text):
        events.append((text[:i], token))
        automaton.extend(first, token)
    follower, said = Cursor(), []
    for _ in range(200):
        said.append(rng.randrange(4))
        automaton.extend(follower, said[-1])
        assert automaton.draft(follower, 4, 1) == drafted(events, said, 5, 1, 4)


@pytest.mark.parametrize("text", ["one letter", "two letters", "period", "random"])
def test_automaton_is_linear(text: str) -> None:
    """Four times the tokens take at most about four times the steps: counted, not timed."""
    rng = random.Random(1)
    make = {
        "one letter": lambda i: 0,
        "two letters": lambda i: rng.randrange(2),
        "period": lambda i: i % 7,
        "random": lambda i: rng.randrange(5000),
    }
    work = []
    for size in (500, 2000):
        automaton, cursor, hops = Automaton(16, 10**6), Cursor(), 0
        links = automaton._link

        class Counting(list):  # type: ignore[type-arg] # reason: a list that counts reads, whatever it holds
            def __getitem__(self, at: Any) -> Any:
                nonlocal hops
                hops += 1
                return super().__getitem__(at)

        automaton._link = Counting(links)
        for i in range(size):
            automaton.extend(cursor, make[text](i))
        work.append(hops)
    assert work[1] <= 5 * work[0] + 1000
    assert work[1] <= 40 * 2000


def test_index_finds_the_latest_followed_occurrence() -> None:
    rng = random.Random(2)
    index, text = Index(2, 6), []
    for _ in range(300):
        token = rng.randrange(3)
        index.extend([token])
        text.append(token)
        for size in range(2, min(6, len(text)) + 1):
            tail = tuple(text[-size:])
            where = [i for i in range(size, len(text)) if tuple(text[i - size : i]) == tail]
            assert index.find(tail, size) == (where[-1] if where else None)


def test_lookup_prefers_the_longest_match_and_repeats_a_period() -> None:
    drafter, view = PromptLookup(2, 8), Seen(1, prompt=[1, 2, 3, 4, 9, 2, 3, 7, 8])
    drafter.open(view)
    drafter.grew(view, [1, 2, 3])
    assert drafter.draft([view], [3])[0].tokens == [4, 9, 2]
    assert drafter.draft([view], [3])[0].match == 3
    drafter.grew(view, [5, 6, 5, 6, 5, 6])
    assert drafter.draft([view], [5])[0].tokens == [5, 6, 5, 6, 5]
    assert drafter.draft([view], [0])[0].tokens == []


def test_lookup_uses_the_prediction_and_forgets_the_group() -> None:
    drafter = PromptLookup(2, 8)
    views = [Seen(i, prompt=[1], prediction=[5, 6, 7, 8]) for i in (1, 2)]
    for view in views:
        drafter.open(view)
        drafter.grew(view, [5, 6])
    assert [draft.tokens for draft in drafter.draft(views, [2, 2])] == [[7, 8], [7, 8]]
    drafter.close(views[0])
    assert drafter.draft(views[1:], [2])[0].tokens == [7, 8]
    drafter.close(views[1])
    assert not drafter._own
    assert not drafter._shared


def test_sibling_knows_what_the_others_say_also_after_they_ended() -> None:
    drafter = Sibling(2, 8)
    a, b, c, other = Seen(1, prompt=[1, 2]), Seen(2, prompt=[1, 2]), Seen(3, prompt=[1, 2]), Seen(4, group=1, prompt=[1, 2])
    for view in (a, b, c, other):
        drafter.open(view)
    drafter.grew(a, [10, 11, 12])
    drafter.grew(c, [10, 11, 13])
    drafter.grew(c, [10, 11, 12])
    drafter.close(a)
    drafter.grew(b, [50, 10, 11])
    drafter.grew(other, [10, 11])
    drafts = drafter.draft([b, other], [1, 1])
    assert drafts[0].tokens == [12]
    assert drafts[1].tokens == []
    for view in (b, c, other):
        drafter.close(view)
    assert not drafter._groups


def test_sibling_is_quick() -> None:
    """A loose bound that only a rescan of the text would break: microseconds a token, not milliseconds."""
    rng, drafter, views = random.Random(0), Sibling(), [Seen(i, prompt=list(range(500))) for i in range(8)]
    for view in views:
        drafter.open(view)
    started = time.perf_counter()
    for _ in range(400):
        for view in views:
            drafter.grew(view, [rng.randrange(200)])
        drafter.draft(views, [16] * 8)
    assert (time.perf_counter() - started) / 3200 < 0.0005
