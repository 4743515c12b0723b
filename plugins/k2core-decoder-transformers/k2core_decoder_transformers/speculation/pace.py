"""How much to draft: the lengths that give most tokens a second over the whole batch, and none where drafting does not pay.

**Choice.** A step of n sequences with K drafted tokens costs seconds(n + K), plus a drafter's passes; a sequence whose drafted
tokens are accepted with chances p1, p2, … gets 1 + p1 + p1 p2 + … tokens. The summands fall, so for each K the best drafts are
the K largest of all sequences' summands, and one sorted walk finds the best K.

**Bound.** A ledger holds what speculation may lose: `SHARE` of the seconds of every step flows in, up to `purse` plain steps; what
rows and drafting cost beyond a plain step flows out, and what accepted tokens saved flows back. Overdrawn, nothing is drafted
or indexed. So over T seconds of decoding the loss is at most SHARE x T + `purse` plain steps + one step's overshoot, as
measured by the cost model."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from .acceptance import Acceptance
from .cost import KEPT, CostModel

SHARE = 0.008
PURSE = 3.0
LARGE_PURSE = 20.0
"""Plain steps for a draft model, which has to read each prompt before it can draft."""
MARGIN = 1.03
"""A draft must promise this much more tokens a second than none, since estimates err."""
TRIED = 4
"""Drafted tokens of a probe."""
FAINT = 0.02
"""A token with less of a chance is never worth its row."""
SOONEST, LATEST = 16, 64
"""Steps between probes: doubled after each; a model's that was right is soon followed by another."""


@dataclass(frozen=True)
class Ask:
    """One sequence's draft: up to `most` tokens, found by a match of `match` tokens."""

    id: int
    most: int
    match: int = 0


class Pace:
    """Learns what steps cost and what is accepted; decides lengths. Deterministic but for the seconds it is told."""

    def __init__(self, purse: float = PURSE) -> None:
        self.cost = CostModel()
        self.acceptance = Acceptance()
        self._full = purse
        self._passes: deque[float] = deque(maxlen=KEPT)
        self._pass = 0.0
        self._purse: float | None = None
        self._rested = 0
        self._interval = SOONEST

    @property
    def resting(self) -> bool:
        """Whether the ledger is overdrawn, or no step has been seen: nothing may be spent on drafting."""
        return self._purse is None or self._purse < 0.0

    def lengths(self, asks: Sequence[Ask]) -> list[int]:
        """Tokens to try for each sequence of the step; all of the batch's sequences must be asked for, also with `most` = 0."""
        if self.resting or not any(ask.most for ask in asks):
            return [0] * len(asks)
        chosen = self._best(asks)
        if any(chosen):
            self._interval = SOONEST
            self._rested = 0
            return chosen
        self._rested += 1
        return self._probe(asks) if self._rested >= self._interval else chosen

    def _best(self, asks: Sequence[Ask]) -> list[int]:
        count = len(asks)
        gains = sorted(self._gains(asks), key=lambda gain: -gain[0])
        tokens, lengths = float(count), [0] * count
        best, best_k, longest = MARGIN * count / self.cost.seconds(count), 0, 0
        for k, (gain, i) in enumerate(gains, 1):
            tokens += gain
            lengths[i] += 1
            longest = max(longest, lengths[i])
            rate = tokens / (self.cost.seconds(count + k) + self._pass * longest)
            if rate > best:
                best, best_k = rate, k
        return _counted(gains[:best_k], count)

    def _gains(self, asks: Sequence[Ask]) -> list[tuple[float, int]]:
        """Each drafted token's chance to be kept, with its sequence's index."""
        gains = []
        for i, ask in enumerate(asks):
            if not ask.most:
                continue
            gain, later = self.acceptance.chances(ask.id, ask.match)
            for _ in range(ask.most):
                if gain < FAINT:
                    break
                gains.append((gain, i))
                gain *= later
        return gains

    def _probe(self, asks: Sequence[Ask]) -> list[int]:
        """One short draft of the likeliest sequence, if the ledger can bear it."""
        count = len(asks)
        best = max(range(count), key=lambda i: (asks[i].most > 0, self.acceptance.chances(asks[i].id, asks[i].match)[0]))
        tried = min(TRIED, asks[best].most)
        if (self._purse or 0.0) < self.cost.seconds(count + tried) - self.cost.seconds(count) + self._pass * tried:
            return [0] * count
        self._rested, self._interval = 0, min(LATEST, 2 * self._interval)
        return [tried if i == best else 0 for i in range(count)]

    def passed(self, longest: int, seconds: float) -> None:
        """A drafter's model took `seconds` for drafts of which the longest had `longest` tokens."""
        if longest > 0:
            self._passes.append(seconds / longest)
            self._pass = median_low(self._passes)

    def stepped(self, count: int, drafted: int, accepted: int, seconds: float, drafting: float) -> None:
        """A step of `count` sequences with `drafted` further rows, of which `accepted` were kept; `drafting` are the drafter's
        seconds."""
        self.cost.learn(count + drafted, seconds)
        if accepted and self._pass:
            self._interval = 4
        plain = self.cost.seconds(count)
        if plain <= 0.0:
            return
        most = self._full * plain
        held = most if self._purse is None else self._purse
        extra = min(self.cost.seconds(count + drafted) - plain, most) + min(drafting, most)
        self._purse = min(most, held + SHARE * seconds - extra + accepted * plain / count)

    def spent(self, seconds: float) -> None:
        """Seconds of the drafter outside of a step that counts for the cost model."""
        if self._purse is not None:
            self._purse -= seconds


def _counted(gains: Sequence[tuple[float, int]], count: int) -> list[int]:
    lengths = [0] * count
    for _, i in gains:
        lengths[i] += 1
    return lengths
