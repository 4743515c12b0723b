"""What the engine, the pace and the drafters hand to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ..sampling.noise import Noise
    from ..sampling.warp import Warp


@runtime_checkable
class View(Protocol):
    """What a drafter sees of one sequence. `id` is unique within the engine; the sequences of one request share `group`."""

    @property
    def id(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def prompt(self) -> Sequence[int]: ...
    @property
    def ids(self) -> Sequence[int]:
        """Tokens generated so far; the last one is not yet in the target's cache."""
        ...

    @property
    def prediction(self) -> Sequence[int]:
        """Tokens of a text that the answer is expected to resemble; often empty."""
        ...

    @property
    def warp(self) -> Warp: ...
    @property
    def noise(self) -> Noise:
        """`noise.key(position)` is what the token at that position of the completion will be drawn with."""
        ...

    @property
    def room(self) -> int:
        """Tokens that the sequence may still take."""
        ...


@dataclass(frozen=True)
class Draft:
    """Tokens proposed to follow `view.ids`. `match` orders drafts by how sure the drafter is: the length of the matched suffix."""

    tokens: list[int] = field(default_factory=list)
    match: int = 0


@dataclass(frozen=True)
class Step:
    """What one step did to one sequence: `drafted` tokens were tried, the first `accepted` of them kept, `new` is what it got."""

    view: View
    drafted: int
    accepted: int
    new: Sequence[int]


class Drafter(Protocol):
    """Proposes tokens. It may be wrong, slow or broken: the text does not depend on it, only the speed does."""

    passes: ClassVar[bool] = False
    """Whether each drafted token costs a pass of a model, so that the lengths are chosen before drafting and not after."""

    def open(self, view: View) -> None:
        """A sequence begins; `view.ids` is told by `grew`."""
        ...

    def grew(self, view: View, new: Sequence[int]) -> None:
        """`new` are the next of `view.ids`, each told once and in order, all of them before the next `draft` of this view."""
        ...

    def draft(self, views: Sequence[View], most: Sequence[int]) -> list[Draft]:
        """For each view at most as many tokens as `most` says, none being a good answer too."""
        ...

    def close(self, view: View) -> None:
        """The sequence has ended; called once for each `open`."""
        ...
