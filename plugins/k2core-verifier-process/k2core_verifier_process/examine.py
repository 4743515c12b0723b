"""One step after the other: the claims of each, judged in the light of those before."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .claims import Claim, claims
from .equations import Derivation, derived
from .rounding import Known
from .split import Step, split
from .tokens import Token, tokens

_LENGTH = 20_000
"""Characters of a step that are read."""
_GUARDED = re.compile(
    r"\b(?:base|bases|binary|octal|hexadecimal|modulo|mod|remainder|clock|operation|operator)\b|\\pmod|\\bmod|\\equiv|_\{?\d\}?\s*[-+*]"
    r"|\bdefine|\\(?:star|diamond|oplus|otimes|circ|ast)\b|\\boxed\{[a-z]",
    re.IGNORECASE,
)
_RETRACTS = re.compile(
    r"\b(?:wait|oops|actually|correction|recheck\w*|re-check\w*|recalculat\w*|mistake\w*|let me (?:re|check|correct|fix)\w*"
    r"|(?:made|is|an) (?:an )?error|not (?:right|correct|true)|incorrect)\b",
    re.IGNORECASE,
)
_SOON = 160
"""Characters within which a false claim is taken back, if it is."""
_BROKEN = re.compile(r"(?:[-+*/=(,^]|\\cdot|\\times|\\left\()\s*\Z")
_RELATION = re.compile(r"[=≈~]|approx|simeq|doteq|\b(?:is|are|equals|gives|makes|leaves|totals|was)\b")


@dataclass(slots=True)
class Progress:
    """What the steps so far have established."""

    guarded: bool = False
    """The problem is about other operations, bases or remainders: what is false in plain arithmetic may be right in it."""
    broken: bool = False
    """The last step ended within a formula."""
    known: Known = field(default_factory=Known)
    derivation: Derivation = field(default_factory=Derivation)

    def after(self, step: str) -> tuple[Progress, list[Claim]]:
        """The progress after one more step, this one unchanged, and the step's claims in order."""
        step = step[:_LENGTH]
        new = copy.deepcopy(self)
        if not _RELATION.search(step):
            new.derivation.since = (new.derivation.since + step)[-600:]
            return new, []
        line = tokens(step)
        found = claims(step, line, new.known) + list(derived(step, line, new.derivation))
        new.broken = bool(_BROKEN.search(step))
        return new, [self._guarded(claim, line) for claim in sorted(found, key=lambda claim: claim.end)]

    def _guarded(self, claim: Claim, line: Sequence[Token]) -> Claim:
        """The claim, left open where it may not be what it seems."""
        cut = self.broken and bool(line) and claim.start <= line[0].start
        return replace(claim, holds=None) if claim.holds is False and (self.guarded or cut) else claim


def settled(steps: Sequence[tuple[str, Sequence[Claim]]]) -> list[list[Claim]]:
    """The claims of every step; false ones that the text takes back soon after, there or in the next step, are left open."""
    found: list[list[Claim]] = []
    for place, (text, made) in enumerate(steps):
        following = steps[place + 1][0][:_SOON] if place + 1 < len(steps) else ""
        found.append([replace(c, holds=None) if c.holds is False and _retracted(text, following, c) else c for c in made])
    return found


def _retracted(text: str, following: str, claim: Claim) -> bool:
    after = f"{text[claim.end : claim.end + _SOON]}\n{following}"[:_SOON]
    return bool(_RETRACTS.search(after))


def guarded(problem: str) -> bool:
    """Whether a problem is about operations that it defines, number bases or remainders."""
    return bool(_GUARDED.search(problem[:_LENGTH]))


def examine(text: str, problem: str = "") -> list[tuple[Step, list[Claim]]]:
    """Every step of a solution with its claims."""
    progress, found = Progress(guarded(problem)), []
    for step in split(text):
        progress, made = progress.after(step.text)
        found.append((step, made))
    kept = settled([(step.text, made) for step, made in found])
    return [(step, claims) for (step, _), claims in zip(found, kept, strict=True)]
