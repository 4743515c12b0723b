"""Who holds which slot of the cache. Holders sit side by side, so the last one moves into the place of one that leaves."""

from __future__ import annotations

from ..model.cache import Cache, rounded
from .job import Choice, Job, Owner
from .kept import Kept

SHARED = 16
"""Tokens from which a common beginning of two prompts is copied instead of computed."""


class Slots:
    """At most `parallel` holders, that together can never need more than `budget` tokens of cache."""

    def __init__(self, cache: Cache, kept: Kept, parallel: int, budget: int) -> None:
        self.cache, self.kept, self.parallel, self.budget = cache, kept, parallel, budget
        self.owners: list[Owner] = []

    def fits(self, job: Job) -> bool:
        """Whether one more holder of this job's size can be let in, whatever all will need until their end."""
        if not self.owners:
            return True
        longest = max(job.need, *(_job(owner).need for owner in self.owners))
        return len(self.owners) < self.parallel and (len(self.owners) + 1) * rounded(longest) <= self.budget

    def enter(self, owner: Owner) -> None:
        """The next slot, which must not be used before `fit`: however many enter at a time, the cache is made anew once."""
        owner.slot = len(self.owners)
        self.owners.append(owner)

    def fit(self) -> None:
        """Room in the cache for all that the holders need as things are; nothing that they have is lost."""
        self.cache.fit(len(self.owners), max((owner.reach for owner in self.owners), default=0))

    def replace(self, old: Owner, new: Owner) -> None:
        """`new` takes over the slot and what is in it."""
        assert old.slot is not None
        self.owners[old.slot] = new
        new.slot, old.slot = old.slot, None

    def leave(self, owner: Owner, wipe: bool = False) -> None:
        """`wipe` where there may be something in the slot that is not a number: masked or not, the next holder would see it."""
        slot, last = owner.slot, len(self.owners) - 1
        if slot is None:
            return
        if wipe:
            self.cache.wipe(slot)
        if slot != last:
            mover = self.owners[slot] = self.owners[last]
            self.cache.copy(last, slot, mover.length)
            mover.slot = slot
        self.owners.pop()
        owner.slot = None
        if not self.owners:
            self.cache.fit(0, 0)

    def clear(self) -> None:
        """All leave at once, in whatever state the cache is."""
        for owner in self.owners:
            owner.slot = None
        self.owners.clear()
        self.cache.fit(0, 0)

    def reuse(self, job: Job) -> bool:
        """Copy what there is of this prompt's beginning, at other holders or kept. False: wait, another is computing more."""
        assert job.slot is not None
        pieces = self.kept.find(job.prompt)
        if pieces and pieces[-1].logits is not None:
            self.kept.restore(pieces, job.slot)
            job.filled, job.logits = len(job.prompt), pieces[-1].logits
            return True
        best, source, later = sum(piece.tokens for piece in pieces), None, False
        for owner in self.owners:
            other = _job(owner)
            if owner is job or owner.slot is None or job.prompt[:SHARED] != other.prompt[:SHARED]:
                continue
            common = min(_common(job.prompt, other.prompt), len(job.prompt) - 1)
            have = min(common, owner.length)
            if isinstance(owner, Job) and common >= SHARED and have < common and other.id < job.id:
                later = True
            if have > best and have >= SHARED:
                best, source = have, owner.slot
        if later:
            return False
        if source is None:
            self.kept.restore(pieces, job.slot)
        else:
            self.cache.copy(source, job.slot, best)
        job.filled = best
        return True


def _job(owner: Owner) -> Job:
    return owner.job if isinstance(owner, Choice) else owner


def _common(one: list[int], other: list[int]) -> int:
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(i for i in range(most) if one[i] != other[i])
