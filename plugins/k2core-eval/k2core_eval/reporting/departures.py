"""Where evaluations depart from the protocol that they name."""

from __future__ import annotations

from collections.abc import Sequence

from .arms import Arm
from .caveats import Caveat


def departures(arms: Sequence[Arm]) -> list[Caveat]:
    """One caveat for all arms that name a protocol and do not keep it, as `<name>, but <what differs>` says."""
    facts = [f"{arm.name}: {arm.manifest.preset}" for arm in arms if protocol(arm.manifest.preset) != arm.manifest.preset]
    text = "These are no scores by the protocol that they name."
    return [Caveat("Departs from its protocol.", text, True, "; ".join(facts) + ".")] if facts else []


def protocol(preset: str) -> str:
    """The protocol's name alone."""
    return preset.partition(",")[0].strip()
