"""What one pass computes: ragged rows of several sequences, and how attention sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .cache import Cache

LONG = 32
"""Rows from which a sequence gets an attention call of its own, as it does not pay to fill the others up to its length."""


@dataclass(frozen=True)
class Rows:
    """The next tokens of one sequence: to be written to `slot` from `start` on. Logits are wanted for the last `wanted` of them."""

    slot: int
    start: int
    ids: Sequence[int]
    wanted: int


@dataclass
class Segment:
    """Rows first..last of a pass, which attend to the slots low..high over `length` positions."""

    first: int
    last: int
    low: int
    high: int
    width: int
    """Rows a slot, filled up."""
    length: int
    positions: Tensor
    """[slots, width]: of every row, 0 where one is filled up."""
    gather: Tensor | None = None
    """[slots * width]: the row of the segment at each place; None where all places are filled in order."""
    scatter: Tensor | None = None
    """[rows]: the place of each row."""
    masks: dict[tuple[int, int], Tensor | None] = field(default_factory=dict)

    def mask(self, groups: int, window: int, dtype: torch.dtype) -> Tensor | None:
        """Additive, [slots, 1, groups * width, length]; None where every row sees all positions. `window` 0 is no window."""
        key = groups, window
        if key not in self.masks:
            seen = torch.arange(self.length, device=self.positions.device)
            allowed = seen <= self.positions.unsqueeze(-1)
            if window:
                allowed &= seen > self.positions.unsqueeze(-1) - window
            whole = bool(allowed.all())
            bias = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -torch.inf)
            self.masks[key] = None if whole else bias.repeat(1, groups, 1).unsqueeze(1)
        return self.masks[key]


class Batch:
    """A pass over `rows`. Tensors: `ids`, `positions`, `slots`, `wanted` (rows with logits), each [rows]."""

    def __init__(self, rows: Sequence[Rows], cache: Cache) -> None:
        device = cache.device
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids) >= LONG, rows[i].slot))
        self.rows = [rows[i] for i in order]
        self.cache = cache
        ids = [token for row in self.rows for token in row.ids]
        places = [range(row.start, row.start + len(row.ids)) for row in self.rows]
        self.ids = torch.tensor(ids, device=device)
        self.positions = torch.tensor([place for span in places for place in span], device=device)
        self.slots = torch.tensor([row.slot for row in self.rows for _ in row.ids], device=device)
        self._places: dict[int, Tensor] = {}
        counts = [(row.slot, row.start, len(row.ids)) for row in self.rows]
        self.segments = _segments(counts, device)
        self.wanted: Tensor | None = None
        self.last_segments = self.segments
        if any(row.wanted < len(row.ids) for row in self.rows):
            self.wanted = torch.tensor(_wanted(self.rows), dtype=torch.long, device=device)
            ends = [(row.slot, row.start + len(row.ids) - row.wanted, row.wanted) for row in self.rows if row.wanted]
            self.last_segments = _segments(ends, device)
        self.first_logit = _offsets(self.rows, order)
        """For each of the rows as they were given, where its logits begin."""

    @property
    def size(self) -> int:
        return len(self.ids)

    def places(self, parts: int) -> Tensor:
        """Where `Cache.write` puts the parts of each row: [rows * parts]."""
        if parts not in self._places:
            part = torch.arange(parts, device=self.slots.device)
            found = (self.slots.unsqueeze(1) * parts + part) * self.cache.capacity + self.positions.unsqueeze(1)
            self._places[parts] = found.flatten()
        return self._places[parts]


def _wanted(rows: Sequence[Rows]) -> list[int]:
    found, at = list[int](), 0
    for row in rows:
        at += len(row.ids)
        found += range(at - row.wanted, at)
    return found


def _offsets(rows: Sequence[Rows], order: Sequence[int]) -> list[int]:
    offsets, at = [0] * len(rows), 0
    for place, row in zip(order, rows, strict=True):
        offsets[place] = at
        at += row.wanted
    return offsets


def _segments(counts: Sequence[tuple[int, int, int]], device: torch.device) -> list[Segment]:
    """Those before the first long one together, the others alone; `counts` are (slot, start, rows)."""
    short = list(takewhile(lambda item: item[2] < LONG, counts))
    found = [_together(short, device)] if short else []
    at = sum(item[2] for item in short)
    for slot, start, count in counts[len(short) :]:
        positions = torch.arange(start, start + count, device=device).unsqueeze(0)
        found.append(Segment(at, at + count, slot, slot + 1, count, start + count, positions))
        at += count
    return found


def _together(counts: Sequence[tuple[int, int, int]], device: torch.device) -> Segment:
    low, high = min(slot for slot, _, _ in counts), max(slot for slot, _, _ in counts) + 1
    width = max(count for _, _, count in counts)
    total = sum(count for _, _, count in counts)
    gather, positions = [0] * ((high - low) * width), [0] * ((high - low) * width)
    scatter, at = list[int](), 0
    for slot, start, count in counts:
        base = (slot - low) * width
        for j in range(count):
            gather[base + j], positions[base + j] = at + j, start + j
        scatter += range(base, base + count)
        at += count
    length = max(start + count for _, start, count in counts)
    segment = Segment(0, total, low, high, width, length, torch.tensor(positions, device=device).view(high - low, width))
    if gather != list(range(total)):
        segment.gather, segment.scatter = torch.tensor(gather, device=device), torch.tensor(scatter, device=device)
    return segment


def attend(
    q: Tensor, held: Tensor, keys: tuple[int, int, int], segments: Sequence[Segment], scale: float, window: int = 0
) -> Tensor:
    """Softmax attention of `q` [rows, heads, size] over a layer of the cache; `keys` = key-value heads, size of key and of value.

    The query heads that share a key-value head become rows of one problem, so that keys and values are not repeated.
    Returns [rows, heads * size].
    """
    outs = [_attend(q[s.first : s.last], held, keys, s, scale, window) for s in segments]
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def views(held: Tensor, keys: tuple[int, int, int], segment: Segment) -> tuple[Tensor, Tensor]:
    """Keys and values, [slots, heads, length, size], without copying."""
    heads, size, value = keys
    part = held[segment.low : segment.high, :, : segment.length]
    return part[:, :heads, :, :size], part[:, heads:, :, :value]


def grouped(q: Tensor, heads: int, segment: Segment) -> Tensor:
    """[rows, query heads, size] as [slots, heads, groups * width, size]."""
    if segment.gather is not None:
        q = q.index_select(0, segment.gather)
    slots, groups = segment.high - segment.low, q.shape[1] // heads
    return q.view(slots, segment.width, heads, groups, -1).permute(0, 2, 3, 1, 4).reshape(slots, heads, groups * segment.width, -1)


def ungrouped(out: Tensor, segment: Segment) -> Tensor:
    """The way back: [slots, heads, groups * width, size] as [rows, query heads * size]."""
    slots, heads, _, size = out.shape
    flat = out.reshape(slots, heads, -1, segment.width, size).permute(0, 3, 1, 2, 4).reshape(slots * segment.width, -1)
    return flat if segment.scatter is None else flat.index_select(0, segment.scatter)


def _attend(q: Tensor, held: Tensor, keys: tuple[int, int, int], segment: Segment, scale: float, window: int) -> Tensor:
    k, v = views(held, keys, segment)
    mask = segment.mask(q.shape[1] // keys[0], window, q.dtype)
    out = scaled_dot_product_attention(grouped(q, keys[0], segment), k, v, attn_mask=mask, scale=scale)
    return ungrouped(out, segment)
